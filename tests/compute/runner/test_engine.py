"""The engine: batches of many sessions equal the naive twin, and its facts are those of the steps that ran."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from engine_steps import TOLERANCE, WHOLE, EngineOf, delta_error, held, sid, step_header, tokens

from compute.models.span import LoadedSpan
from compute.runner.engine_types import free_cores
from compute.runner.naive import naive_outputs
from compute.runner.scheduler import SchedulerOptions
from compute.types import Row, Span, StepHeader


class Client:
    """One session of random steps, with the history of every lane's inputs."""

    def __init__(self, number: int, rng: random.Random, loaded: LoadedSpan, span: Span) -> None:
        self.session = sid(number)
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
            new = tokens(n, self.loaded.width, self.seed)
            self.lanes[number] = torch.cat([lane[:position], new])
            rows.append(Row(number, position, n))
            parts.append(new)
        hidden = torch.cat(parts) if parts else torch.empty(0, self.loaded.width)
        return StepHeader(0, tuple(rows), fork), hidden

    def check(self, header: StepHeader, got: torch.Tensor) -> None:
        for row, out in zip(header.rows, got.split([row.n_tokens for row in header.rows]), strict=True):
            history = self.lanes[row.lane]
            expected = naive_outputs(self.loaded, self.span, history)[row.position :]
            assert delta_error(out, expected, history[row.position :]) < TOLERANCE


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
    await engine.open(sid(1), "c", WHOLE, 1, 1000)
    await engine.step(sid(1), step_header((0, 0, 40)), tokens(40))
    again = [await engine.step(sid(1), step_header((0, 40, 5)), tokens(5, seed=9)) for _ in range(2)]
    assert torch.equal(again[0].hidden, again[1].hidden)
    await engine.step(sid(1), step_header((0, 20, 30)), tokens(30, seed=4))
    await engine.step(sid(1), step_header((0, 20, 20)), tokens(40)[20:])
    third = await engine.step(sid(1), step_header((0, 40, 5)), tokens(5, seed=9))
    torch.testing.assert_close(third.hidden, again[0].hidden, atol=1e-5, rtol=1e-5)


async def test_steps_that_arrive_while_the_device_is_busy_run_in_one_batch(engine_of: EngineOf, gate_of: Any) -> None:
    engine = await engine_of()
    gate = gate_of(engine)
    for i in range(5):
        await engine.open(sid(i), f"c{i}", WHOLE, 1, 100)
    first = asyncio.create_task(engine.step(sid(0), step_header((0, 0, 1)), tokens(1)))
    await held(gate)
    others = [asyncio.create_task(engine.step(sid(i), step_header((0, 0, 1)), tokens(1))) for i in range(1, 5)]
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(first, *others)
    assert gate.batches == [[1], [1, 1, 1, 1]]


async def test_a_gathering_engine_waits_for_clients_in_lock_step(engine_of: EngineOf, gate_of: Any) -> None:
    engine = await engine_of(gather_s=5.0)
    gate = gate_of(engine)
    gate.open.set()
    for i in range(2):
        await engine.open(sid(i), f"c{i}", WHOLE, 1, 100)
    await asyncio.gather(*(engine.step(sid(i), step_header((0, 0, 1)), tokens(1)) for i in range(2)))
    early = asyncio.create_task(engine.step(sid(0), step_header((0, 1, 1)), tokens(1)))
    for _ in range(20):
        await asyncio.sleep(0)
    await asyncio.gather(early, engine.step(sid(1), step_header((0, 1, 1)), tokens(1)))
    assert gate.batches[-1] == [1, 1]


async def test_facts_are_those_of_the_steps_that_ran(engine_of: EngineOf, loaded_of: Callable[..., LoadedSpan]) -> None:
    engine = await engine_of()
    await engine.open(sid(1), "c", WHOLE, 1, 1000)
    prefill = await engine.step(sid(1), step_header((0, 0, 10)), tokens(10).to(torch.bfloat16))
    assert engine.stats().decode_s == 0
    decode = await engine.step(sid(1), step_header((0, 10, 1)), tokens(1))
    stats = engine.stats()
    assert prefill.hidden.dtype == loaded_of("llama").dtype
    assert stats.decode_s == decode.compute_s > 0
    assert (stats.sessions, stats.tokens_total, stats.cached_tokens, stats.queued_tokens) == (1, 11, 11, 0)
    assert 0 < stats.cache_bytes_used < stats.cache_bytes_budget


async def test_a_step_without_tokens_only_rolls_back(engine_of: EngineOf) -> None:
    engine = await engine_of()
    await engine.open(sid(1), "c", WHOLE, 1, 1000)
    await engine.step(sid(1), step_header((0, 0, 10)), tokens(10))
    result = await engine.step(sid(1), step_header((0, 4, 0)), tokens(0))
    assert result.hidden.shape == (0, 32)
    assert engine.stats().cached_tokens == 4


def test_there_is_always_a_core() -> None:
    assert free_cores() >= 1
