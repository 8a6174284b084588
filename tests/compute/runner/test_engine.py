"""The engine: batches equal the naive twin, failures stay with the guilty, and what has ended holds no memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import torch

from compute.errors import BadRequest, CacheFull, ComputeError, Overloaded
from compute.models.span import LoadedSpan
from compute.runner.engine import Engine
from compute.runner.engine_types import free_cores
from compute.runner.naive import naive_outputs
from compute.runner.scheduler import SchedulerOptions
from compute.types import Row, SessionId, Span, StepHeader

TOLERANCE = 1e-5
"""Largest relative error of what the blocks add to a token, fp32."""

WHOLE = Span(0, 4)
EngineOf = Callable[..., Awaitable[Engine]]


def _sid(number: int) -> SessionId:
    return SessionId(number.to_bytes(16, "big"))


def _tokens(n: int, width: int = 32, seed: int = 0) -> torch.Tensor:
    """Hidden states about as large as what tiny blocks add to them."""
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed)) * 0.1


def _header(*rows: tuple[int, int, int], fork: tuple[int, ...] = ()) -> StepHeader:
    return StepHeader(0, tuple(Row(*row) for row in rows), fork)


def _delta_error(got: torch.Tensor, expected: torch.Tensor, x: torch.Tensor) -> float:
    return float(((got - expected).norm(dim=-1) / (expected - x).norm(dim=-1)).max())


async def _held(gate: Any) -> None:
    """Returns when a batch is on the device."""
    assert await asyncio.to_thread(gate.entered.wait, 20)


# ---------------------------------------------------------------- equal to the twin


class Client:
    """One session of random steps, with the history of every lane's inputs."""

    def __init__(self, number: int, rng: random.Random, loaded: LoadedSpan, span: Span) -> None:
        self.session = _sid(number)
        self.rng = rng
        self.loaded = loaded
        self.span = span
        self.lanes: list[torch.Tensor] = [torch.empty(0, loaded.width) for _ in range(rng.randint(1, 2))]
        self.seed = number * 1000

    def next_step(self) -> tuple[StepHeader, torch.Tensor]:
        """A random step, already in the history."""
        fork: tuple[int, ...] = ()
        if self.rng.random() < 0.3 and all(len(lane) for lane in self.lanes):
            fork = tuple(self.rng.randrange(len(self.lanes)) for _ in range(self.rng.randint(1, 4)))
            self.lanes = [self.lanes[source] for source in fork]
        rows, parts = [], []
        for number, lane in enumerate(self.lanes):
            if len(lane) and self.rng.random() < 0.2:
                continue
            back = self.rng.choice([0, 0, 0, 1, 3, len(lane)])
            position = max(0, len(lane) - back)
            n = self.rng.choice([1, 1, 1, 2, 7, 30]) if position else self.rng.choice([1, 9, 80])
            self.seed += 1
            new = _tokens(n, self.loaded.width, self.seed)
            self.lanes[number] = torch.cat([lane[:position], new])
            rows.append(Row(number, position, n))
            parts.append(new)
        hidden = torch.cat(parts) if parts else torch.empty(0, self.loaded.width)
        return StepHeader(0, tuple(rows), fork), hidden

    def check(self, header: StepHeader, got: torch.Tensor) -> None:
        for row, out in zip(header.rows, got.split([row.n_tokens for row in header.rows]), strict=True):
            history = self.lanes[row.lane]
            expected = naive_outputs(self.loaded, self.span, history)[row.position :]
            assert _delta_error(out, expected, history[row.position :]) < TOLERANCE


@pytest.mark.parametrize("variant", ["llama", "mistral", "gemma2", "gemma3_text", "mixtral", "falcon-alibi", "bloom"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_many_sessions_at_once_get_what_each_would_get_alone(
    variant: str, seed: int, engine_of: EngineOf, loaded_of: Callable[..., LoadedSpan]
) -> None:
    """Ragged prompts, decoding, roll-backs and forks of sessions on several sub-spans, prompts cut in pieces."""
    rng = random.Random(seed)
    loaded = loaded_of(variant)
    engine = await engine_of(variant, scheduler=SchedulerOptions(batch_tokens_max=48, prefill_chunk_tokens=20))
    clients = [Client(i, rng, loaded, rng.choice([WHOLE, WHOLE, Span(1, 3)])) for i in range(5)]
    for i, client in enumerate(clients):
        await engine.open(client.session, f"client {i % 3}", client.span, 4, 10_000)
    for _ in range(8):
        steps = [client.next_step() for client in clients]
        results = await asyncio.gather(
            *(engine.step(c.session, h, x) for c, (h, x) in zip(clients, steps, strict=True))
        )
        engine.check_integrity()
        for client, (header, _), result in zip(clients, steps, results, strict=True):
            client.check(header, result.hidden)


async def test_a_roll_back_and_the_same_tokens_again_are_bit_equal(engine_of: EngineOf) -> None:
    engine = await engine_of()
    await engine.open(_sid(1), "c", WHOLE, 1, 1000)
    await engine.step(_sid(1), _header((0, 0, 40)), _tokens(40))
    again = [await engine.step(_sid(1), _header((0, 40, 5)), _tokens(5, seed=9)) for _ in range(2)]
    assert torch.equal(again[0].hidden, again[1].hidden)
    await engine.step(_sid(1), _header((0, 20, 30)), _tokens(30, seed=4))
    await engine.step(_sid(1), _header((0, 20, 20)), _tokens(40)[20:])
    third = await engine.step(_sid(1), _header((0, 40, 5)), _tokens(5, seed=9))
    torch.testing.assert_close(third.hidden, again[0].hidden, atol=1e-5, rtol=1e-5)


async def test_steps_that_arrive_while_the_device_is_busy_run_in_one_batch(engine_of: EngineOf, gate_of: Any) -> None:
    engine = await engine_of()
    gate = gate_of(engine)
    for i in range(5):
        await engine.open(_sid(i), f"c{i}", WHOLE, 1, 100)
    first = asyncio.create_task(engine.step(_sid(0), _header((0, 0, 1)), _tokens(1)))
    await _held(gate)
    others = [asyncio.create_task(engine.step(_sid(i), _header((0, 0, 1)), _tokens(1))) for i in range(1, 5)]
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(first, *others)
    assert gate.batches == [[1], [1, 1, 1, 1]]


async def test_a_gathering_engine_waits_for_clients_in_lock_step(engine_of: EngineOf, gate_of: Any) -> None:
    engine = await engine_of(gather_s=5.0)
    gate = gate_of(engine)
    gate.open.set()
    for i in range(2):
        await engine.open(_sid(i), f"c{i}", WHOLE, 1, 100)
    await asyncio.gather(*(engine.step(_sid(i), _header((0, 0, 1)), _tokens(1)) for i in range(2)))
    early = asyncio.create_task(engine.step(_sid(0), _header((0, 1, 1)), _tokens(1)))
    for _ in range(20):
        await asyncio.sleep(0)
    await asyncio.gather(early, engine.step(_sid(1), _header((0, 1, 1)), _tokens(1)))
    assert gate.batches[-1] == [1, 1]


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("variant", ["llama", "gemma2", "mixtral", "falcon", "bloom"])
async def test_values_that_are_no_numbers_fail_only_their_own_step(
    variant: str, bad: float, engine_of: EngineOf
) -> None:
    engine = await engine_of(variant)
    for i in range(2):
        await engine.open(_sid(i), f"c{i}", WHOLE, 1, 100)
        await engine.step(_sid(i), _header((0, 0, 5)), _tokens(5))
    poison = _tokens(1)
    poison[0, 3] = bad
    good, failed = await asyncio.gather(
        engine.step(_sid(0), _header((0, 5, 1)), _tokens(1)),
        engine.step(_sid(1), _header((0, 5, 1)), poison),
        return_exceptions=True,
    )
    assert isinstance(failed, BadRequest)
    assert not isinstance(good, BaseException)
    retried = await engine.step(_sid(1), _header((0, 5, 1)), _tokens(1))
    torch.testing.assert_close(retried.hidden, good.hidden)


async def test_an_exception_in_a_batch_fails_only_the_guilty_step(
    engine_of: EngineOf, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await engine_of()
    runner: Any = engine._runner
    run = runner.run

    def fragile(span: Span, rows: Any) -> Any:
        if any(row.hidden.shape[0] == 3 for row in rows):
            raise RuntimeError("a kernel that cannot do three")
        return run(span, rows)

    runner.run = fragile
    for i in range(3):
        await engine.open(_sid(i), f"c{i}", WHOLE, 1, 100)
    results = await asyncio.gather(
        *(engine.step(_sid(i), _header((0, 0, n)), _tokens(n)) for i, n in enumerate((2, 3, 4))), return_exceptions=True
    )
    assert [isinstance(result, ComputeError) for result in results] == [False, True, False]
    assert "RuntimeError" in str(results[1])


@pytest.mark.parametrize("back", [1, 30, 100])
async def test_a_failed_step_leaves_forks_and_roll_backs_undone(
    back: int, engine_of: EngineOf, loaded_of: Callable[..., LoadedSpan]
) -> None:
    engine = await engine_of(scheduler=SchedulerOptions(batch_tokens_max=64, prefill_chunk_tokens=30))
    await engine.open(_sid(1), "c", WHOLE, 3, 1000)
    history = _tokens(150)
    await engine.step(_sid(1), _header((0, 0, 150)), history)
    engine.check_integrity()
    poison = _tokens(120, seed=2)
    poison[100] = float("nan")  # in a late piece: earlier ones have overwritten what was rolled back
    with pytest.raises(BadRequest, match="NaN"):
        await engine.step(_sid(1), _header((0, 150 - back, 120), fork=(0, 0)), poison)
    engine.check_integrity()
    assert engine.stats().cached_tokens == 150
    got = await engine.step(_sid(1), _header((0, 150, 1)), _tokens(1, seed=3))
    whole = torch.cat([history, _tokens(1, seed=3)])
    expected = naive_outputs(loaded_of("llama"), WHOLE, whole)
    assert _delta_error(got.hidden, expected[150:], whole[150:]) < TOLERANCE


@pytest.mark.parametrize(
    ("header", "shape", "message"),
    [
        (_header((0, 6, 1)), (1, 32), "beyond its 5 tokens"),
        (_header((1, 1, 1)), (1, 32), "beyond its 0 tokens"),
        (_header((2, 0, 1)), (1, 32), "lanes of the session"),
        (_header((0, 5, 1), (0, 6, 1)), (2, 32), "out of order"),
        (_header((0, 5, 96)), (96, 32), "100 tokens"),
        (_header((0, 5, 2)), (1, 32), "the tensor is"),
        (_header((0, 5, 1)), (1, 31), "the tensor is"),
        (_header((0, 5, 1), fork=(1,)), (1, 32), "a fork of a lane"),
        (_header((0, 5, 1), fork=(0, 0, 0)), (1, 32), "opened for 2"),
        (_header((1, 5, 1), fork=(0,)), (1, 32), "lanes of the session"),
    ],
)
async def test_steps_that_do_not_fit_the_session_are_refused(
    header: StepHeader, shape: tuple[int, int], message: str, engine_of: EngineOf
) -> None:
    engine = await engine_of()
    await engine.open(_sid(1), "c", WHOLE, 2, 100)
    await engine.step(_sid(1), _header((0, 0, 5)), _tokens(5))
    with pytest.raises(BadRequest, match=message):
        await engine.step(_sid(1), header, torch.zeros(shape))
    assert engine.stats().cached_tokens == 5


async def test_sessions_that_cannot_be_served_are_refused(engine_of: EngineOf) -> None:
    engine = await engine_of(sessions_max=1, queue_tokens_max=10)
    with pytest.raises(BadRequest, match="not served here"):
        await engine.open(_sid(1), "c", Span(2, 5), 1, 100)
    await engine.open(_sid(1), "c", WHOLE, 1, 100)
    with pytest.raises(BadRequest, match="open already"):
        await engine.open(_sid(1), "c", WHOLE, 1, 100)
    with pytest.raises(Overloaded, match="too many sessions"):
        await engine.open(_sid(2), "c", WHOLE, 1, 100)
    with pytest.raises(Overloaded, match="queue is full"):
        await engine.step(_sid(1), _header((0, 0, 11)), _tokens(11))
    with pytest.raises(BadRequest, match="not open"):
        await engine.step(_sid(2), _header((0, 0, 1)), _tokens(1))


# ---------------------------------------------------------------- the budget


async def test_a_step_without_room_is_refused_after_its_wait_and_changes_nothing(engine_of: EngineOf) -> None:
    engine = await engine_of(cache_tokens=256, cache_wait_s=0.02)
    await engine.open(_sid(1), "c", WHOLE, 4, 1000)
    await engine.step(_sid(1), _header((0, 0, 40)), _tokens(40))
    before = engine.stats()
    with pytest.raises(CacheFull) as refusal:
        await engine.step(_sid(1), _header((0, 30, 10), (1, 0, 60), (2, 0, 100)), _tokens(170))
    assert refusal.value.retry_after_s > 0
    assert engine.stats() == before
    engine.check_integrity()
    with pytest.raises(CacheFull):
        await engine.step(_sid(1), _header((1, 40, 100), fork=(0, 0)), _tokens(100))
    assert engine.stats() == before
    engine.check_integrity()


async def test_a_step_that_waits_for_room_runs_as_soon_as_another_session_ends(engine_of: EngineOf) -> None:
    engine = await engine_of(cache_tokens=128, cache_wait_s=30.0)
    await engine.open(_sid(1), "a", WHOLE, 1, 1000)
    await engine.open(_sid(2), "b", WHOLE, 1, 1000)
    await engine.step(_sid(1), _header((0, 0, 100)), _tokens(100))
    waiting = asyncio.create_task(engine.step(_sid(2), _header((0, 0, 50)), _tokens(50)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    with pytest.raises(BadRequest, match="one after the other"):
        await engine.step(_sid(2), _header((0, 0, 1)), _tokens(1))
    engine.close(_sid(1))
    assert (await waiting).hidden.shape == (50, 32)


async def test_forks_of_a_long_prompt_hold_it_once(engine_of: EngineOf) -> None:
    engine = await engine_of()
    await engine.open(_sid(1), "c", WHOLE, 8, 1000)
    await engine.step(_sid(1), _header((0, 0, 600)), _tokens(600))
    one = engine.stats().cache_bytes_used
    await engine.step(_sid(1), _header(*((i, 600, 1) for i in range(8)), fork=(0,) * 8), _tokens(8))
    stats = engine.stats()
    assert stats.cached_tokens == 8 * 601
    assert stats.cache_bytes_used < 2 * one, "eight copies would be eight times as much"
    engine.check_integrity()
    await engine.step(_sid(1), _header((0, 601, 1), fork=(3,)), _tokens(1))
    assert engine.stats().cache_bytes_used < one * 1.2
    engine.check_integrity()


# ---------------------------------------------------------------- ends


async def test_cancelling_a_step_on_the_device_undoes_it_when_the_batch_ends(engine_of: EngineOf, gate_of: Any) -> None:
    engine = await engine_of()
    await engine.open(_sid(1), "c", WHOLE, 1, 1000)
    await engine.step(_sid(1), _header((0, 0, 20)), _tokens(20))
    gate = gate_of(engine)
    running = asyncio.create_task(engine.step(_sid(1), _header((0, 10, 30)), _tokens(30)))
    await _held(gate)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    follower = asyncio.create_task(engine.step(_sid(1), _header((0, 20, 1)), _tokens(1)))
    await asyncio.sleep(0)
    gate.open.set()
    await follower
    assert engine.stats().cached_tokens == 21
    engine.check_integrity()


async def test_cancelling_a_step_in_the_queue_frees_its_room_at_once(engine_of: EngineOf, gate_of: Any) -> None:
    engine = await engine_of()
    gate = gate_of(engine)
    for i in range(2):
        await engine.open(_sid(i), "c", WHOLE, 1, 1000)
    first = asyncio.create_task(engine.step(_sid(0), _header((0, 0, 1)), _tokens(1)))
    await _held(gate)
    before = engine.stats().cache_bytes_used
    queued = asyncio.create_task(engine.step(_sid(1), _header((0, 0, 500)), _tokens(500)))
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
    await engine.open(_sid(1), "c", WHOLE, 2, 1000)
    await engine.step(_sid(1), _header((0, 0, 200)), _tokens(200))
    await engine.open(_sid(2), "c", WHOLE, 1, 1000)
    gate = gate_of(engine)
    tasks = []
    if where == "queued":
        tasks.append(asyncio.create_task(engine.step(_sid(2), _header((0, 0, 1)), _tokens(1))))
        await _held(gate)
    if where != "idle":
        step = engine.step(_sid(1), _header((0, 150, 1), (1, 200, 1), fork=(0, 0)), _tokens(2))
        tasks.append(asyncio.create_task(step))
        await (_held(gate) if where == "on the device" else asyncio.sleep(0))
    engine.close(_sid(1))
    engine.close(_sid(1))
    engine.close(_sid(2))
    gate.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, BadRequest) for result in results)
    await engine.open(_sid(3), "c", WHOLE, 1, 100)
    await engine.step(_sid(3), _header((0, 0, 1)), _tokens(1))  # behind the batch that was running
    engine.close(_sid(3))
    assert engine.stats().cache_bytes_used == 0


async def test_stopping_ends_after_the_running_batch_and_refuses_what_waits(engine_of: EngineOf, gate_of: Any) -> None:
    engine = await engine_of()
    gate = gate_of(engine)
    for i in range(2):
        await engine.open(_sid(i), "c", WHOLE, 1, 1000)
    running = asyncio.create_task(engine.step(_sid(0), _header((0, 0, 10)), _tokens(10)))
    await _held(gate)
    queued = asyncio.create_task(engine.step(_sid(1), _header((0, 0, 10)), _tokens(10)))
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


# ---------------------------------------------------------------- facts


async def test_facts_are_those_of_the_steps_that_ran(engine_of: EngineOf, loaded_of: Callable[..., LoadedSpan]) -> None:
    engine = await engine_of()
    await engine.open(_sid(1), "c", WHOLE, 1, 1000)
    prefill = await engine.step(_sid(1), _header((0, 0, 10)), _tokens(10).to(torch.bfloat16))
    assert engine.stats().decode_s == 0
    decode = await engine.step(_sid(1), _header((0, 10, 1)), _tokens(1))
    stats = engine.stats()
    assert prefill.hidden.dtype == loaded_of("llama").dtype
    assert stats.decode_s == decode.compute_s > 0
    assert (stats.sessions, stats.tokens_total, stats.cached_tokens, stats.queued_tokens) == (1, 11, 11, 0)
    assert 0 < stats.cache_bytes_used < stats.cache_bytes_budget


async def test_a_step_without_tokens_only_rolls_back(engine_of: EngineOf) -> None:
    engine = await engine_of()
    await engine.open(_sid(1), "c", WHOLE, 1, 1000)
    await engine.step(_sid(1), _header((0, 0, 10)), _tokens(10))
    result = await engine.step(_sid(1), _header((0, 4, 0)), _tokens(0))
    assert result.hidden.shape == (0, 32)
    assert engine.stats().cached_tokens == 4


def test_there_is_always_a_core() -> None:
    assert free_cores() >= 1


# ---------------------------------------------------------------- training


async def test_training_slices_run_beside_decoding_and_hand_back_what_they_made(engine_of: EngineOf) -> None:
    engine = await engine_of(scheduler=SchedulerOptions(training_wait_s=0.0))
    await engine.open(_sid(1), "c", WHOLE, 1, 1000)

    async def decode() -> None:
        for position in range(20):
            await engine.step(_sid(1), _header((0, position, 1)), _tokens(1))

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


async def test_stopping_right_after_a_step_does_not_wait_for_another(engine_of: EngineOf) -> None:
    engine = await engine_of()
    await engine.open(_sid(0), "c", WHOLE, 1, 1000)
    await engine.step(_sid(0), _header((0, 0, 3)), _tokens(3))
    async with asyncio.timeout(5):
        await engine.stop()
