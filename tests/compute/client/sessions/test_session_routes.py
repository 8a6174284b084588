"""Blocks that nobody serves any more, or not yet: named in bounded time, and taken up again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from compute.errors import LinkLost, NoRoute
from compute.types import Row, Span

Run = Callable[[Any], Any]


def now() -> float:
    return asyncio.get_running_loop().time()


def test_without_a_replacement_the_blocks_are_named_in_bounded_time_and_lanes_stay(
    swarm: Any, twin_of: Any, in_virtual_time: Run
) -> None:
    swarm.add(0, 3)
    last = swarm.add(3, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(5)
        last.become("dead")
        started = now()
        with pytest.raises(NoRoute, match="3:6") as caught:
            await twin.session.step([Row(0, 2, 1)], twin.hidden(1), ())
        assert caught.value.missing == (Span(3, 6),)
        assert isinstance(caught.value.__cause__, LinkLost)
        assert 25 < now() - started < 35
        assert swarm.refreshed > 5
        assert twin.session.lengths == (5,)
        swarm.add(3, 6)
        await twin.extend(1)

    in_virtual_time(story())


def test_a_provider_that_joins_meanwhile_is_taken(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    last = swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(5)
        last.become("dead")
        late = swarm.add(0, 6)
        swarm.newcomers.append(swarm.providers.pop())
        await twin.extend(1)
        assert twin.session.route.hops[0].peer == late.peer

    in_virtual_time(story())


def test_a_false_alarm_is_forgiven_when_nobody_else_serves(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    provider = swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(5)
        provider.become("silent")
        asyncio.get_running_loop().call_later(1.0, provider.become, "ok")
        await twin.extend(1)
        assert twin.session.route.hops[0].peer == provider.peer
        assert twin.session.stats.failovers == 1

    in_virtual_time(story())


def test_a_provider_that_fails_every_step_is_not_asked_in_a_hot_loop(
    swarm: Any, twin_of: Any, in_virtual_time: Run
) -> None:
    provider = swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(5)
        provider.become("internal")
        with pytest.raises(NoRoute):
            await twin.session.step([Row(0, 5, 1)], twin.hidden(1))
        assert provider.opened < 30

    in_virtual_time(story())


def test_opening_without_a_route_fails_soon(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    swarm.add(0, 3)

    async def story() -> None:
        twin = twin_of(swarm)
        with pytest.raises(NoRoute) as caught:
            await twin.session.open()
        assert caught.value.missing == (Span(3, 6),)
        assert now() < 5
        assert twin.session.closed

    in_virtual_time(story())
