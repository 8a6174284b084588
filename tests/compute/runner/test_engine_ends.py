"""Cancelling, closing and stopping: at once or after the running batch, and nothing is held afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from engine_steps import WHOLE, EngineOf, held, sid, step_header, tokens

from compute.errors import BadRequest, Overloaded


async def test_cancelling_a_step_on_the_device_undoes_it_when_the_batch_ends(engine_of: EngineOf, gate_of: Any) -> None:
    engine = await engine_of()
    await engine.open(sid(1), "c", WHOLE, 1, 1000)
    await engine.step(sid(1), step_header((0, 0, 20)), tokens(20))
    gate = gate_of(engine)
    running = asyncio.create_task(engine.step(sid(1), step_header((0, 10, 30)), tokens(30)))
    await held(gate)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    follower = asyncio.create_task(engine.step(sid(1), step_header((0, 20, 1)), tokens(1)))
    await asyncio.sleep(0)
    gate.open.set()
    await follower
    assert engine.stats().cached_tokens == 21
    engine.check_integrity()


async def test_cancelling_a_step_in_the_queue_frees_its_room_at_once(engine_of: EngineOf, gate_of: Any) -> None:
    engine = await engine_of()
    gate = gate_of(engine)
    for i in range(2):
        await engine.open(sid(i), "c", WHOLE, 1, 1000)
    first = asyncio.create_task(engine.step(sid(0), step_header((0, 0, 1)), tokens(1)))
    await held(gate)
    before = engine.stats().cache_bytes_used
    queued = asyncio.create_task(engine.step(sid(1), step_header((0, 0, 500)), tokens(500)))
    await asyncio.sleep(0)
    assert engine.stats().queued_tokens == 500
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    assert engine.stats().queued_tokens == 0
    assert engine.stats().cache_bytes_used == before
    gate.open.set()
    await first


@pytest.mark.parametrize("where", ["idle", "queued", "on the device"])
async def test_closing_frees_everything(where: str, engine_of: EngineOf, gate_of: Any) -> None:
    engine = await engine_of()
    await engine.open(sid(1), "c", WHOLE, 2, 1000)
    await engine.step(sid(1), step_header((0, 0, 200)), tokens(200))
    await engine.open(sid(2), "c", WHOLE, 1, 1000)
    gate = gate_of(engine)
    tasks = []
    if where == "queued":
        tasks.append(asyncio.create_task(engine.step(sid(2), step_header((0, 0, 1)), tokens(1))))
        await held(gate)
    if where != "idle":
        step = engine.step(sid(1), step_header((0, 150, 1), (1, 200, 1), fork=(0, 0)), tokens(2))
        tasks.append(asyncio.create_task(step))
        await (held(gate) if where == "on the device" else asyncio.sleep(0))
    engine.close(sid(1))
    engine.close(sid(1))
    engine.close(sid(2))
    gate.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, BadRequest) for result in results)
    await engine.open(sid(3), "c", WHOLE, 1, 100)
    await engine.step(sid(3), step_header((0, 0, 1)), tokens(1))  # behind the batch that was running
    engine.close(sid(3))
    assert engine.stats().cache_bytes_used == 0


async def test_stopping_ends_after_the_running_batch_and_refuses_what_waits(engine_of: EngineOf, gate_of: Any) -> None:
    engine = await engine_of()
    gate = gate_of(engine)
    for i in range(2):
        await engine.open(sid(i), "c", WHOLE, 1, 1000)
    running = asyncio.create_task(engine.step(sid(0), step_header((0, 0, 10)), tokens(10)))
    await held(gate)
    queued = asyncio.create_task(engine.step(sid(1), step_header((0, 0, 10)), tokens(10)))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)
    gate.open.set()
    await stopping
    results = await asyncio.gather(running, queued, return_exceptions=True)
    assert all(isinstance(result, Overloaded) for result in results)
    assert engine.stats().cache_bytes_used == 0
    assert engine.stats().sessions == 0
    await engine.stop()


async def test_stopping_right_after_a_step_does_not_wait_for_another(engine_of: EngineOf) -> None:
    engine = await engine_of()
    await engine.open(sid(0), "c", WHOLE, 1, 1000)
    await engine.step(sid(0), step_header((0, 0, 3)), tokens(3))
    async with asyncio.timeout(5):
        await engine.stop()
