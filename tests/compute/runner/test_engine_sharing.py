"""Prefixes that lanes have in common are held once, within a session and between sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import torch
from engine_steps import TOLERANCE, WHOLE, EngineOf, delta_error, held, settled, sid, soon, step_header, tokens

from compute.errors import BadRequest
from compute.models.span import LoadedSpan
from compute.runner.cache import CacheShape
from compute.runner.engine import Engine
from compute.runner.naive import naive_outputs
from compute.types import Span

PREFIX = 512


async def test_forks_of_a_long_prompt_hold_it_once(engine_of: EngineOf) -> None:
    engine = await engine_of()
    await engine.open(sid(1), "c", WHOLE, 8, 1000)
    await engine.step(sid(1), step_header((0, 0, 600)), tokens(600))
    one = engine.stats().cache_bytes_used
    await engine.step(sid(1), step_header(*((i, 600, 1) for i in range(8)), fork=(0,) * 8), tokens(8))
    stats = engine.stats()
    assert stats.cached_tokens == 8 * 601
    assert stats.cache_bytes_used < 2 * one, "eight copies would be eight times as much"
    engine.check_integrity()
    await engine.step(sid(1), step_header((0, 601, 1), fork=(3,)), tokens(1))
    assert engine.stats().cache_bytes_used < one * 1.2
    engine.check_integrity()


def _prompt(n_own: int, seed: int, prefix: int = PREFIX) -> torch.Tensor:
    return torch.cat([tokens(prefix, seed=1000), tokens(n_own, seed=seed)])


def _tokens_held(engine: Engine) -> int:
    stats = engine.stats()
    per_token = engine._runner.shape.bytes_per_token
    return stats.cache_bytes_used // per_token


@pytest.mark.parametrize("variant", ["llama", "mistral", "gemma2", "gemma3_text", "mixtral", "falcon-alibi", "bloom"])
async def test_sessions_with_the_same_prefix_hold_it_once_and_compute_on_from_it(
    variant: str, engine_of: EngineOf, loaded_of: Callable[..., LoadedSpan]
) -> None:
    engine, loaded = await engine_of(variant), loaded_of(variant)
    width, n = loaded.width, 6
    prompts = [torch.cat([tokens(PREFIX, width, 1000), tokens(10 + i, width, i)]) for i in range(n)]
    for i, prompt in enumerate(prompts):
        await engine.open(sid(i), f"c{i}", WHOLE, 1, 1000)
        await engine.step(sid(i), step_header((0, 0, len(prompt))), prompt)
    await settled(engine)
    engine.check_integrity()
    assert _tokens_held(engine) <= PREFIX + n * 64
    assert engine.stats().cached_tokens == sum(map(len, prompts))
    for i in range(n):
        prompts[i] = torch.cat([prompts[i], tokens(1, width, 50 + i)])
    results = await asyncio.gather(
        *(engine.step(sid(i), step_header((0, len(x) - 1, 1)), x[-1:]) for i, x in enumerate(prompts))
    )
    for prompt, result in zip(prompts, results, strict=True):
        expected = naive_outputs(loaded, WHOLE, prompt)
        assert delta_error(result.hidden, expected[-1:], prompt[-1:]) < TOLERANCE


async def test_a_newcomer_gets_bit_for_bit_what_it_would_get_alone(engine_of: EngineOf) -> None:
    """Its own prefill is what it computed itself, and what it goes on from has the very same bytes."""
    alone, shared = await engine_of(), await engine_of()
    await shared.open(sid(1), "other", WHOLE, 1, 1000)
    await shared.step(sid(1), step_header((0, 0, 530)), _prompt(18, 1))
    outputs, contents = [], []
    for engine in (alone, shared):
        await engine.open(sid(2), "c", WHOLE, 1, 1000)
        outputs.append(await engine.step(sid(2), step_header((0, 0, 540)), _prompt(28, 2)))
        await settled(engine)
        lane = engine._sessions[sid(2)].state.lanes[0]
        assert bool(lane.segments) is (engine is shared)
        contents.append(torch.cat(lane.prefix_views(540), 2))
    assert torch.equal(outputs[0].hidden, outputs[1].hidden)
    assert torch.equal(*contents)


async def test_a_head_is_freed_when_the_last_of_its_sessions_ends(engine_of: EngineOf) -> None:
    engine = await engine_of()
    for i in range(3):
        await engine.open(sid(i), f"c{i}", WHOLE, 1, 1000)
        await engine.step(sid(i), step_header((0, 0, PREFIX + 5)), _prompt(5, i))
    await settled(engine)
    for left in (2, 1, 0):
        engine.close(sid(left))
        engine.check_integrity()
        assert _tokens_held(engine) == (PREFIX + left * 64 if left else 0)


async def test_a_roll_back_below_a_shared_head_leaves_the_others_as_they_are(
    engine_of: EngineOf, loaded_of: Callable[..., LoadedSpan]
) -> None:
    engine = await engine_of()
    prompts = [_prompt(5, i) for i in range(2)]
    for i, prompt in enumerate(prompts):
        await engine.open(sid(i), f"c{i}", WHOLE, 1, 1000)
        await engine.step(sid(i), step_header((0, 0, len(prompt))), prompt)
    await settled(engine)
    assert _tokens_held(engine) < 2 * PREFIX
    prompts[0] = torch.cat([prompts[0][:300], tokens(7, seed=77)])
    prompts[1] = torch.cat([prompts[1], tokens(1, seed=78)])
    for i, n in ((0, 7), (1, 1)):
        x = prompts[i]
        got = await engine.step(sid(i), step_header((0, len(x) - n, n)), x[-n:])
        expected = naive_outputs(loaded_of("llama"), WHOLE, x)
        assert delta_error(got.hidden, expected[-n:], x[-n:]) < TOLERANCE
    engine.check_integrity()


async def test_sessions_on_other_blocks_or_with_other_inputs_share_nothing(engine_of: EngineOf) -> None:
    engine = await engine_of()
    for i, (span, seed) in enumerate([(WHOLE, 1), (WHOLE, 2), (Span(1, 3), 1), (Span(0, 2), 1)]):
        await engine.open(sid(i), "c", span, 1, 1000)
        await engine.step(sid(i), step_header((0, 0, 200)), tokens(200, seed=seed))
    await settled(engine)
    assert not any(owner.state.lanes[0].segments for owner in engine._sessions.values())


async def test_inputs_alike_only_where_the_fingerprint_looks_are_told_apart(
    engine_of: EngineOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fingerprint reads part of a row; what decides are the bytes of keys and values."""
    monkeypatch.setattr("compute.runner.fingerprint._ELEMENTS", 4)
    engine = await engine_of()
    x = tokens(200)
    for i in range(2):
        await engine.open(sid(i), "c", WHOLE, 1, 1000)
        await engine.step(sid(i), step_header((0, 0, 200)), x)
        x = x.clone()
        x[150, 20] += 1e-3
    await settled(engine)
    lanes = [owner.state.lanes[0] for owner in engine._sessions.values()]
    assert lanes[0].fingerprint == lanes[1].fingerprint
    assert [segment.tokens for lane in lanes for segment in lane.segments] == [128, 128], "up to the chunk with 150"


async def test_clients_that_are_kept_apart_share_only_with_themselves(engine_of: EngineOf) -> None:
    engine = await engine_of(share_between_clients=False)
    for i in range(4):
        await engine.open(sid(i), f"c{i % 2}", WHOLE, 1, 1000)
        await engine.step(sid(i), step_header((0, 0, PREFIX)), tokens(PREFIX))
    await settled(engine)
    heads = [owner.state.lanes[0].segments for owner in engine._sessions.values()]
    assert heads[0] == heads[2] != heads[1] == heads[3]
    assert _tokens_held(engine) == 2 * PREFIX


async def test_lanes_of_one_session_with_the_same_prompt_share_it_too(engine_of: EngineOf) -> None:
    engine = await engine_of()
    await engine.open(sid(1), "c", WHOLE, 4, 1000)
    rows = step_header(*((lane, 0, PREFIX) for lane in range(4)))
    await engine.step(sid(1), rows, torch.cat([tokens(PREFIX)] * 4))
    await settled(engine)
    assert _tokens_held(engine) == PREFIX


async def test_a_session_that_never_pauses_comes_to_share_as_well(engine_of: EngineOf) -> None:
    """Its next step follows at once upon the last; it begins when the lane is on the head."""
    engine = await engine_of()

    async def use(number: int) -> None:
        await engine.open(sid(number), f"c{number}", WHOLE, 1, 1000)
        await engine.step(sid(number), step_header((0, 0, PREFIX)), tokens(PREFIX))
        for position in range(PREFIX, PREFIX + 10):
            await engine.step(sid(number), step_header((0, position, 1)), tokens(1, seed=number))

    await asyncio.gather(*(use(number) for number in range(4)))
    assert _tokens_held(engine) == PREFIX + 4 * 64


async def test_without_room_for_a_head_each_keeps_its_own_copy(engine_of: EngineOf) -> None:
    engine = await engine_of(cache_tokens=1400)
    for i in range(2):
        await engine.open(sid(i), "c", WHOLE, 1, 1000)
        await engine.step(sid(i), step_header((0, 0, PREFIX)), tokens(PREFIX))
    await settled(engine)
    assert _tokens_held(engine) == 1280
    engine.check_integrity()
    await engine.step(sid(1), step_header((0, PREFIX, 1)), tokens(1))


@pytest.mark.parametrize("which", [0, 1])
async def test_a_session_that_closes_while_its_prefix_is_compared_takes_nothing_with_it(
    which: int, engine_of: EngineOf, gate_of: Any
) -> None:
    engine = await engine_of()
    for i in range(3):
        await engine.open(sid(i), "c", WHOLE, 1, 1000)
    await engine.step(sid(0), step_header((0, 0, PREFIX + 9)), _prompt(9, 1))
    device: Any = engine._device
    run, closed = device.run, []

    def run_then_close(work: Any) -> Any:
        future = run(work)
        if engine._sharing.is_running and len(closed) < 1:
            closed.append(which)
            engine.close(sid(which))
        return future

    device.run = run_then_close
    await engine.step(sid(1), step_header((0, 0, PREFIX + 9)), _prompt(9, 2))
    await settled(engine)
    assert closed == [which]
    engine.check_integrity()
    with pytest.raises(BadRequest):
        await engine.step(sid(which), step_header((0, 0, 1)), tokens(1))
    await engine.step(sid(1 - which), step_header((0, PREFIX + 9, 1)), tokens(1))
    engine.close(sid(1 - which))
    assert engine.stats().cache_bytes_used == 0


async def test_a_lane_written_anew_in_the_meantime_is_not_put_on_the_head(
    engine_of: EngineOf, gate_of: Any, loaded_of: Callable[..., LoadedSpan]
) -> None:
    """A step of the older session is on its way when the younger one is joined: it rolls back to 0."""
    engine = await engine_of()
    for i in range(3):
        await engine.open(sid(i), "c", WHOLE, 1, 1000)
    await engine.step(sid(0), step_header((0, 0, 200)), tokens(200))
    gate = gate_of(engine)
    young = asyncio.create_task(engine.step(sid(1), step_header((0, 0, 200)), tokens(200)))
    await held(gate)
    anew = asyncio.create_task(engine.step(sid(0), step_header((0, 0, 200)), tokens(200, seed=5)))
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(young, anew)
    await settled(engine)
    got = await engine.step(sid(0), step_header((0, 200, 1)), tokens(1, seed=6))
    whole = torch.cat([tokens(200, seed=5), tokens(1, seed=6)])
    expected = naive_outputs(loaded_of("llama"), WHOLE, whole)
    assert delta_error(got.hidden, expected[200:], whole[200:]) < TOLERANCE


async def test_a_step_that_waits_for_room_begins_only_when_its_lane_is_on_the_head(
    engine_of: EngineOf, gate_of: Any, loaded_of: Callable[..., LoadedSpan]
) -> None:
    """The older session is about to write its lane anew, and gets its room in the middle of the join."""
    engine = await engine_of(cache_tokens=1324, cache_wait_s=30.0)
    for i in range(3):
        await engine.open(sid(i), "c", WHOLE, 1, 1000)
    await engine.step(sid(0), step_header((0, 0, 200)), tokens(200))
    await engine.step(sid(2), step_header((0, 0, 400)), tokens(400, seed=2))
    gate = gate_of(engine)
    young = asyncio.create_task(engine.step(sid(1), step_header((0, 0, 200)), tokens(200)))
    await held(gate)
    anew = asyncio.create_task(engine.step(sid(0), step_header((0, 0, 300)), tokens(300, seed=5)))
    await soon()
    device: Any = engine._device
    run = device.run

    def run_and_make_room(work: Any) -> Any:
        if engine._sharing.is_running and len(engine._sharing.heads) == 1:
            engine.close(sid(2))
        return run(work)

    device.run = run_and_make_room
    gate.open.set()
    await asyncio.gather(young, anew)
    await settled(engine)
    assert sid(2) not in engine._sessions
    engine.check_integrity()
    got = await engine.step(sid(0), step_header((0, 300, 1)), tokens(1, seed=6))
    whole = torch.cat([tokens(300, seed=5), tokens(1, seed=6)])
    expected = naive_outputs(loaded_of("llama"), WHOLE, whole)
    assert delta_error(got.hidden, expected[300:], whole[300:]) < TOLERANCE


async def test_a_failure_while_sharing_fails_no_step(engine_of: EngineOf, caplog: pytest.LogCaptureFixture) -> None:
    engine = await engine_of()
    shape: Any = engine._runner.shape
    await engine.open(sid(0), "c", WHOLE, 1, 1000)
    await engine.open(sid(1), "c", WHOLE, 1, 1000)
    await engine.step(sid(0), step_header((0, 0, 200)), tokens(200))
    sharing: Any = engine._sharing

    class Broken:
        bytes_per_token = shape.bytes_per_token

        def allocate(self, n_tokens: int) -> torch.Tensor:
            raise MemoryError("the device has less memory than it said")

    sharing._shape = Broken()
    await engine.step(sid(1), step_header((0, 0, 200)), tokens(200))
    await engine.step(sid(1), step_header((0, 200, 1)), tokens(1))
    engine.check_integrity()
    assert "could not be shared" in caplog.text


async def test_blocks_that_a_session_does_not_use_are_not_compared(
    engine_of: EngineOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was ever written there."""
    allocate = CacheShape.allocate
    monkeypatch.setattr(CacheShape, "allocate", lambda self, n: allocate(self, n).normal_())
    engine = await engine_of()
    for i in range(2):
        await engine.open(sid(i), "c", Span(2, 4), 1, 1000)
        await engine.step(sid(i), step_header((0, 0, 200)), tokens(200))
    await settled(engine)
    assert _tokens_held(engine) == 192 + 2 * 64


async def test_an_idle_session_whose_prefix_came_to_be_shared_steps_on_without_anybody_else(
    engine_of: EngineOf,
) -> None:
    engine = await engine_of()
    for i in range(2):
        await engine.open(sid(i), "c", WHOLE, 1, 1000)
        await engine.step(sid(i), step_header((0, 0, 200)), tokens(200))
    async with asyncio.timeout(10):
        await engine.step(sid(0), step_header((0, 200, 1)), tokens(1))
