"""Providers that have no room, or leave: waited for, or left while there is another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from compute.errors import CacheFull
from compute.types import Row

Run = Callable[[Any], Any]


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_full_cache_is_waited_for_and_the_same_step_repeated(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    provider = swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(4)
        provider.refusals = 3
        started = now()
        await twin.extend(1)
        assert 0.7 < now() - started < 1.5
        assert provider.opened == 1
        assert twin.session.stats.failovers == 0

    in_virtual_time(story())


def test_a_full_cache_is_left_when_there_is_another_provider(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    full = swarm.add(0, 6)
    other = swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(4)
        full.refusals = 1000
        started = now()
        await twin.extend(1)
        assert now() - started < 0.3
        assert twin.session.route.hops[0].peer == other.peer

    in_virtual_time(story())


def test_a_cache_that_stays_full_is_an_error_that_leaves_the_lanes(
    swarm: Any, twin_of: Any, in_virtual_time: Run
) -> None:
    provider = swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(4)
        provider.refusals = 1000
        started = now()
        with pytest.raises(CacheFull):
            await twin.session.step([Row(0, 4, 1)], twin.hidden(1))
        assert now() - started <= 31
        assert twin.session.lengths == (4,)
        provider.refusals = 0
        await twin.extend(1)

    in_virtual_time(story())


def test_a_draining_provider_is_left_between_two_steps(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    leaving = swarm.add(0, 3)
    swarm.add(3, 6)
    other = swarm.add(0, 3)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(9)
        leaving.become("draining")
        await asyncio.sleep(0.01)
        await twin.extend(1)
        assert [hop.peer for hop in twin.session.route.hops] == [other.peer, swarm.providers[1].peer]
        assert twin.session.stats.failovers == 0

    in_virtual_time(story())


def test_a_draining_provider_serves_on_while_there_is_no_other(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    leaving = swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(3)
        leaving.become("draining")
        await asyncio.sleep(0.01)
        for _ in range(3):
            await twin.extend(1)
        other = swarm.add(0, 6)
        await asyncio.sleep(3)
        await twin.extend(1)
        assert twin.session.route.hops[0].peer == other.peer

    in_virtual_time(story())
