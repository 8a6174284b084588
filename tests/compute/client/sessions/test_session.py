"""The life of a session: opened, stepped, suspended, rolled back, closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import torch

from compute.errors import BadRequest
from compute.types import Row, Span

Run = Callable[[Any], Any]


def now() -> float:
    return asyncio.get_running_loop().time()


def test_without_trouble_values_are_those_of_one_machine(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    swarm.add(0, 2), swarm.add(2, 5), swarm.add(5, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(40)  # more than a step of a provider
        for _ in range(5):
            await twin.extend(1)
        assert [hop.span for hop in twin.session.route.hops] == [Span(0, 2), Span(2, 5), Span(5, 6)]
        assert twin.session.stats.failovers == 0
        twin.session.close()
        await asyncio.sleep(0.1)
        assert swarm.open_streams == 0

    in_virtual_time(story())


def test_long_steps_live_by_heartbeats(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    swarm.add(0, 6, compute_s=20.0)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(10)
        assert now() > 20
        assert twin.session.stats.failovers == 0

    in_virtual_time(story())


def test_suspended_sessions_hold_nothing_and_go_on(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    swarm.add(0, 3), swarm.add(3, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(12)
        await twin.session.suspend()
        await asyncio.sleep(0.1)
        assert swarm.open_streams == 0
        await twin.extend(1)
        await twin.session.suspend()
        await twin.session.resume()
        assert len(twin.session.route.hops) == 2
        await twin.extend(1)

    in_virtual_time(story())


def test_truncation_is_a_roll_back_of_the_next_step(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    first = swarm.add(0, 6)
    swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(8)
        twin.session.truncate(0, 3)
        await twin.step([Row(0, 3, 2)])
        twin.session.truncate(0, 4)
        first.become("dead")
        await twin.step([Row(0, 4, 1)])

    in_virtual_time(story())


def test_a_cancelled_step_closes_the_session_and_frees_everything(
    swarm: Any, twin_of: Any, in_virtual_time: Run
) -> None:
    swarm.add(0, 6, compute_s=5.0)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        step = asyncio.create_task(twin.extend(1))
        await asyncio.sleep(1)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        assert twin.session.closed
        await asyncio.sleep(0.1)
        assert swarm.open_streams == 0

    in_virtual_time(story())


@pytest.mark.parametrize(
    ("rows", "fork", "n_tokens"),
    [
        ([Row(0, 6, 1)], (), 1),
        ([Row(1, 0, 1)], (), 1),
        ([Row(0, 5, 1), Row(0, 5, 1)], (), 2),
        ([Row(0, 5, 1)], (1,), 1),
        ([Row(0, 5, 1)], (), 2),
        ([Row(0, 5, 196)], (), 196),
        ([Row(0, 5, 1)], (0,) * 9, 1),
        ([Row(0, -1, 1)], (), 1),
    ],
)
def test_steps_that_do_not_fit_the_lanes_are_refused_here(
    swarm: Any, twin_of: Any, in_virtual_time: Run, rows: list[Row], fork: tuple[int, ...], n_tokens: int
) -> None:
    provider = swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(5)
        steps = provider.steps
        with pytest.raises(BadRequest):
            await twin.session.step(rows, torch.zeros(n_tokens, 8), fork)
        assert (provider.steps, twin.session.lengths) == (steps, (5,))
        await twin.extend(1)

    in_virtual_time(story())
