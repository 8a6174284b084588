"""Clients that cancel, close and run into a full cache at random: nobody gets a wrong number, nothing leaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
import torch

from compute.errors import BadRequest, CacheFull
from compute.models.span import LoadedSpan
from compute.runner.engine import Engine
from compute.runner.naive import naive_outputs
from compute.runner.scheduler import SchedulerOptions
from compute.types import Row, SessionId, Span, StepHeader

WHOLE = Span(0, 4)
TOLERANCE = 1e-5


class Erratic:
    """One client after another session; `done` counts steps by how they ended."""

    def __init__(self, engine: Engine, loaded: LoadedSpan, seed: int) -> None:
        self.engine = engine
        self.loaded = loaded
        self.rng = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.name = f"client {seed}"
        self.done = {"right": 0, "cancelled": 0, "full": 0, "closed": 0}

    async def live(self, n_sessions: int) -> None:
        for _ in range(n_sessions):
            session = SessionId(self.rng.randbytes(16))
            try:
                await self.engine.open(session, self.name, WHOLE, 3, 10_000)
            except CacheFull:
                await asyncio.sleep(0.001)
                continue
            await self.use(session)
            self.engine.close(session)

    async def use(self, session: SessionId) -> None:
        lanes = [torch.empty(0, self.loaded.width)]
        for _ in range(self.rng.randint(1, 8)):
            header, hidden, after = self.step_on(lanes)
            step = asyncio.create_task(self.engine.step(session, header, hidden))
            fate = self.rng.choices(["finish", "cancel", "close"], [8, 3, 1])[0]
            if fate != "finish":
                for _ in range(self.rng.choice([0, 1, 2, 5, 50])):
                    await asyncio.sleep(0)
                step.cancel() if fate == "cancel" else self.engine.close(session)
            self.engine.check_integrity()
            try:
                result = await step
            except CacheFull:
                self.done["full"] += 1
            except asyncio.CancelledError:
                self.done["cancelled"] += 1
            except BadRequest:
                assert fate == "close"
                self.done["closed"] += 1
                return
            else:
                lanes = after
                self.check(header, result.hidden, lanes)
                if fate == "close":
                    return

    def step_on(self, lanes: list[torch.Tensor]) -> tuple[StepHeader, torch.Tensor, list[torch.Tensor]]:
        fork: tuple[int, ...] = ()
        if len(lanes[0]) and self.rng.random() < 0.3:
            fork = tuple(self.rng.randrange(len(lanes)) for _ in range(self.rng.randint(1, 3)))
        after = [lanes[source] for source in fork] if fork else list(lanes)
        rows, parts = [], []
        for number, lane in enumerate(after):
            position = max(0, len(lane) - self.rng.choice([0, 0, 0, 2, 80]))
            n = self.rng.choice([1, 1, 5, 60])
            parts.append(torch.randn(n, self.loaded.width, generator=self.generator) * 0.1)
            rows.append(Row(number, position, n))
            after[number] = torch.cat([lane[:position], parts[-1]])
        return StepHeader(0, tuple(rows), fork), torch.cat(parts), after

    def check(self, header: StepHeader, got: torch.Tensor, lanes: list[torch.Tensor]) -> None:
        for row, out in zip(header.rows, got.split([row.n_tokens for row in header.rows]), strict=True):
            x = lanes[row.lane]
            expected = naive_outputs(self.loaded, WHOLE, x)
            error = (out - expected[row.position :]).norm(dim=-1) / (expected - x)[row.position :].norm(dim=-1)
            assert error.max() < TOLERANCE
        self.done["right"] += 1


@pytest.mark.parametrize("seed", range(3))
async def test_erratic_clients_get_right_numbers_and_leave_nothing_behind(
    seed: int, engine_of: Callable[..., Awaitable[Engine]], loaded_copy: Callable[..., LoadedSpan]
) -> None:
    engine = await engine_of(
        cache_tokens=1500,
        cache_wait_s=0.005,
        scheduler=SchedulerOptions(batch_tokens_max=64, prefill_chunk_tokens=24),
    )
    twin = loaded_copy("llama")
    clients = [Erratic(engine, twin, seed * 100 + i) for i in range(6)]
    await asyncio.gather(*(client.live(6) for client in clients))
    totals = {how: sum(client.done[how] for client in clients) for how in clients[0].done}
    assert totals["right"] > 30
    assert totals["cancelled"] > 5
    engine.check_integrity()
    assert engine.stats().sessions == 0
