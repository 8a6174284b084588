"""Training slices beside decoding."""

from __future__ import annotations

import asyncio

import pytest
from engine_steps import WHOLE, EngineOf, sid, step_header, tokens

from compute.errors import BadRequest
from compute.runner.scheduler import SchedulerOptions


async def test_training_slices_run_beside_decoding_and_hand_back_what_they_made(engine_of: EngineOf) -> None:
    engine = await engine_of(scheduler=SchedulerOptions(training_wait_s=0.0))
    await engine.open(sid(1), "c", WHOLE, 1, 1000)

    async def decode() -> None:
        for position in range(20):
            await engine.step(sid(1), step_header((0, position, 1)), tokens(1))

    slices = [engine.run_low_priority(lambda i=i: i * i, tokens=8) for i in range(5)]
    results = await asyncio.gather(decode(), *slices)
    assert results[1:] == [0, 1, 4, 9, 16]


async def test_a_training_slice_that_fails_or_is_too_long_fails_alone(engine_of: EngineOf) -> None:
    engine = await engine_of()
    with pytest.raises(ZeroDivisionError):
        await engine.run_low_priority(lambda: 1 // 0)
    with pytest.raises(BadRequest, match="at most"):
        await engine.run_low_priority(lambda: 1, tokens=10_000)
    assert await engine.run_low_priority(lambda: 7) == 7
