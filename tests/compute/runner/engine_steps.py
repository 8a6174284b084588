"""Steps of engine tests: sessions' ids, headers and inputs, and how far outputs are from the twin's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import torch

from compute.runner.engine import Engine
from compute.types import Row, SessionId, Span, StepHeader

TOLERANCE = 1e-5
"""Largest relative error of what the blocks add to a token, fp32."""

WHOLE = Span(0, 4)
EngineOf = Callable[..., Awaitable[Engine]]


def sid(number: int) -> SessionId:
    return SessionId(number.to_bytes(16, "big"))


def tokens(n: int, width: int = 32, seed: int = 0) -> torch.Tensor:
    """Hidden states about as large as what tiny blocks add to them."""
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed)) * 0.1


def step_header(*rows: tuple[int, int, int], fork: tuple[int, ...] = ()) -> StepHeader:
    return StepHeader(0, tuple(Row(*row) for row in rows), fork)


def delta_error(got: torch.Tensor, expected: torch.Tensor, x: torch.Tensor) -> float:
    return float(((got - expected).norm(dim=-1) / (expected - x).norm(dim=-1)).max())


async def held(gate: Any) -> None:
    """Returns when a batch is on the device."""
    assert await asyncio.to_thread(gate.entered.wait, 20)


async def soon() -> None:
    """Lets everything on the loop get as far as it can without the device."""
    for _ in range(20):
        await asyncio.sleep(0)


async def settled(engine: Engine) -> None:
    """Waits for what happens between batches: a slice runs after it."""
    await soon()
    await engine.run_low_priority(lambda: None)
