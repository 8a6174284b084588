"""The cache's budget: who waits for room, who gets it first, and what is refused."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from engine_steps import WHOLE, EngineOf, sid, soon, step_header, tokens

from compute.errors import BadRequest, CacheFull


async def test_a_step_without_room_is_refused_after_its_wait_and_changes_nothing(engine_of: EngineOf) -> None:
    engine = await engine_of(cache_tokens=256, cache_wait_s=0.02)
    await engine.open(sid(1), "c", WHOLE, 4, 1000)
    await engine.step(sid(1), step_header((0, 0, 40)), tokens(40))
    before = engine.stats()
    with pytest.raises(CacheFull) as refusal:
        await engine.step(sid(1), step_header((0, 30, 10), (1, 0, 60), (2, 0, 100)), tokens(170))
    assert refusal.value.retry_after_s > 0
    assert engine.stats() == before
    engine.check_integrity()
    with pytest.raises(CacheFull):
        await engine.step(sid(1), step_header((1, 40, 100), fork=(0, 0)), tokens(100))
    assert engine.stats() == before
    engine.check_integrity()


async def test_a_step_that_waits_for_room_runs_as_soon_as_another_session_ends(engine_of: EngineOf) -> None:
    engine = await engine_of(cache_tokens=128, cache_wait_s=30.0)
    await engine.open(sid(1), "a", WHOLE, 1, 1000)
    await engine.open(sid(2), "b", WHOLE, 1, 1000)
    await engine.step(sid(1), step_header((0, 0, 100)), tokens(100))
    waiting = asyncio.create_task(engine.step(sid(2), step_header((0, 0, 50)), tokens(50)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    with pytest.raises(BadRequest, match="one after the other"):
        await engine.step(sid(2), step_header((0, 0, 1)), tokens(1))
    engine.close(sid(1))
    assert (await waiting).hidden.shape == (50, 32)


async def test_a_step_that_waits_is_not_overtaken_by_a_smaller_one(engine_of: EngineOf) -> None:
    """The late step would fit; it still stands behind the early one."""
    engine = await engine_of(cache_tokens=448, cache_wait_s=30.0)
    for i in range(4):
        await engine.open(sid(i), "c", WHOLE, 1, 1000)
    await engine.step(sid(0), step_header((0, 0, 150)), tokens(150))
    await engine.step(sid(1), step_header((0, 0, 50)), tokens(50))
    early = asyncio.create_task(engine.step(sid(2), step_header((0, 0, 250)), tokens(250)))
    await soon()
    late = asyncio.create_task(engine.step(sid(3), step_header((0, 0, 10)), tokens(10)))
    await soon()
    assert engine.stats().cache_bytes_used < engine.stats().cache_bytes_budget * 0.8, "the late step would fit"
    grown = asyncio.create_task(engine.step(sid(1), step_header((0, 50, 30)), tokens(30)))
    await soon()
    engine.close(sid(1))
    await soon()
    assert not early.done()
    assert not late.done()
    engine.close(sid(0))
    await asyncio.gather(early, late)
    with pytest.raises(BadRequest):
        await grown


async def test_a_step_that_needs_no_room_does_not_wait_behind_one_that_does(engine_of: EngineOf) -> None:
    engine = await engine_of(cache_tokens=256, cache_wait_s=30.0)
    for i in range(2):
        await engine.open(sid(i), "c", WHOLE, 1, 1000)
    await engine.step(sid(0), step_header((0, 0, 100)), tokens(100))
    waiting = asyncio.create_task(engine.step(sid(1), step_header((0, 0, 150)), tokens(150)))
    await soon()
    await engine.step(sid(0), step_header((0, 100, 1)), tokens(1))
    assert not waiting.done()
    engine.close(sid(0))
    await waiting


async def test_a_step_that_can_never_fit_is_refused_at_once_and_holds_up_nobody(engine_of: EngineOf) -> None:
    engine = await engine_of(cache_tokens=128, cache_wait_s=30.0)
    for i in range(2):
        await engine.open(sid(i), "c", WHOLE, 1, 1000)
    with pytest.raises(CacheFull):
        await engine.step(sid(0), step_header((0, 0, 129)), tokens(129))
    await engine.step(sid(1), step_header((0, 0, 20)), tokens(20))


@pytest.mark.parametrize("how", ["cancel", "close", "time"])
async def test_who_leaves_the_line_lets_the_next_one_go(how: str, engine_of: EngineOf) -> None:
    engine = await engine_of(cache_tokens=320, cache_wait_s=0.1 if how == "time" else 30.0)
    for i in range(3):
        await engine.open(sid(i), "c", WHOLE, 1, 1000)
    await engine.step(sid(0), step_header((0, 0, 100)), tokens(100))
    first = asyncio.create_task(engine.step(sid(1), step_header((0, 0, 200)), tokens(200)))
    await soon()
    if how == "time":
        await asyncio.sleep(0.05)
    second = asyncio.create_task(engine.step(sid(2), step_header((0, 0, 20)), tokens(20)))
    await soon()
    assert not second.done()
    if how == "cancel":
        first.cancel()
    elif how == "close":
        engine.close(sid(1))
    assert (await second).hidden.shape == (20, 32)
    with pytest.raises((asyncio.CancelledError, BadRequest, CacheFull)):
        await first
    engine.check_integrity()


async def test_room_that_is_granted_as_the_session_closes_or_the_step_is_cancelled_is_given_back(
    engine_of: EngineOf,
) -> None:
    """The room is made, and in the same turn of the loop the step that got it ends."""
    for end in ("close", "cancel"):
        engine = await engine_of(cache_tokens=192, cache_wait_s=30.0)
        for i in range(3):
            await engine.open(sid(i), "c", WHOLE, 1, 1000)
        await engine.step(sid(0), step_header((0, 0, 100)), tokens(100))
        waiting = asyncio.create_task(engine.step(sid(1), step_header((0, 0, 100)), tokens(100)))
        await soon()
        behind = asyncio.create_task(engine.step(sid(2), step_header((0, 0, 100)), tokens(100)))
        await soon()
        engine.close(sid(0))
        engine.check_integrity()
        assert engine.stats().cache_bytes_used > 0
        if end == "close":
            engine.close(sid(1))
        else:
            waiting.cancel()
        with pytest.raises((BadRequest, asyncio.CancelledError)):
            await waiting
        async with asyncio.timeout(10):
            await behind
        engine.check_integrity()


async def test_a_client_with_most_of_the_cache_stands_behind_one_with_little(engine_of: EngineOf) -> None:
    engine = await engine_of(cache_tokens=512, cache_wait_s=30.0)
    for i in range(4):
        await engine.open(sid(i), "greedy", WHOLE, 1, 1000)
    await engine.open(sid(9), "modest", WHOLE, 1, 1000)
    for i in range(3):
        await engine.step(sid(i), step_header((0, 0, 100)), tokens(100, seed=i))
    order: list[str] = []

    async def step(number: int, n_tokens: int, name: str) -> None:
        await engine.step(sid(number), step_header((0, 0, n_tokens)), tokens(n_tokens, seed=number))
        order.append(name)

    greedy = asyncio.create_task(step(3, 150, "greedy"))
    await soon()
    modest = asyncio.create_task(step(9, 150, "modest"))
    await soon()
    assert order == []
    engine.close(sid(0))
    await modest
    assert order == ["modest"]
    engine.close(sid(1))
    await greedy


async def test_a_full_cache_refuses_new_sessions_but_those_with_a_claim(engine_of: EngineOf) -> None:
    engine = await engine_of(cache_tokens=128)
    await engine.open(sid(1), "greedy", WHOLE, 1, 1000)
    await engine.step(sid(1), step_header((0, 0, 100)), tokens(100))
    with pytest.raises(CacheFull):
        await engine.open(sid(2), "greedy", WHOLE, 1, 1000)
    await engine.open(sid(3), "modest", WHOLE, 1, 1000)


async def test_steps_that_free_nothing_do_not_look_at_everybody_again(engine_of: EngineOf) -> None:
    """Where the cache is full, every look at who holds what would cost each step of everybody."""
    engine = await engine_of(cache_tokens=128, cache_wait_s=30.0)
    for i, client in enumerate("abcd"):
        await engine.open(sid(i), client, WHOLE, 1, 1000)
    await engine.step(sid(0), step_header((0, 0, 90)), tokens(90))
    waiting = [asyncio.create_task(engine.step(sid(i), step_header((0, 0, 10)), tokens(10))) for i in (1, 2)]
    await soon()
    serves: list[None] = []
    looks: list[None] = []
    sessions = engine._sessions.values
    room: Any = engine._room
    serve = room.serve
    room.serve = lambda: serves.append(None) or serve()
    room._held._sessions = SimpleNamespace(values=lambda: looks.append(None) or sessions())
    for position in range(90, 110):
        await engine.step(sid(0), step_header((0, position, 1)), tokens(1))
    assert serves == []
    waiting.append(asyncio.create_task(engine.step(sid(3), step_header((0, 0, 10)), tokens(10))))
    await soon()
    assert looks == []
    assert not any(step.done() for step in waiting)
    engine.close(sid(0))
    assert looks
    await asyncio.gather(*waiting[:2])
    engine.close(sid(1))
    await waiting[2]
