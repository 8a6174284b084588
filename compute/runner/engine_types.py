"""What goes into an Engine and comes out of it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field

import torch

from compute.errors import ComputeError
from compute.runner.cache import LaneCache
from compute.runner.scheduler import SchedulerOptions, StepKey
from compute.runner.sessions import Draft, SessionLanes
from compute.types import Row


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Bounds of one provider's device.

    Args:
        cache_bytes: keys and values of all sessions together. Hard.
        cache_wait_s: the longest that a step waits for room before it is refused.
        sessions_max: open at once.
        queue_tokens_max: waiting at once; beyond it steps are refused, so that waiting times stay bounded.
        training_tokens_max: of one training slice; decoding may have to wait for one.
        gather_s: the longest that a batch waits for as many steps as ran lately. 0: never; a millisecond or two helps
            where many clients run in lock-step over several hops, and delays a lone one now and then.
        scheduler: budgets of one iteration.
        threads: of one operation on the CPU; None takes the cores that are free when the engine starts.
    """

    cache_bytes: int
    cache_wait_s: float = 2.0
    sessions_max: int = 256
    queue_tokens_max: int = 32_768
    training_tokens_max: int = 256
    gather_s: float = 0.0
    scheduler: SchedulerOptions = field(default_factory=SchedulerOptions)
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """`hidden` `[n_tokens, width]` in the span's dtype; the blocks' own time, and the wait before it, in seconds."""

    hidden: torch.Tensor
    compute_s: float
    queue_s: float


@dataclass(frozen=True, slots=True)
class EngineStats:
    """`decode_s`: recent mean time of a batch that held a decode step; `queue_s`: recent mean wait of a step."""

    sessions: int
    queued_tokens: int
    cache_bytes_used: int
    cache_bytes_budget: int
    cached_tokens: int
    decode_s: float
    queue_s: float
    tokens_total: int


@dataclass(slots=True)
class OpenSession:
    """`step`: its lanes are in use; `is_stepping`: somebody waits for one; `closed`: why, after the end."""

    client: str
    state: SessionLanes
    step: StepInProgress | None = None
    is_stepping: bool = False
    closed: ComputeError | None = None


@dataclass(slots=True)
class StepInProgress:
    """A step on its way; `rows`, `lanes`, `inputs` and `outputs` are those with tokens, in order."""

    key: StepKey
    draft: Draft
    rows: tuple[Row, ...]
    lanes: list[LaneCache]
    inputs: tuple[torch.Tensor, ...]
    outputs: list[list[torch.Tensor]]
    done: asyncio.Future[None]
    arrived_s: float
    tokens_left: int
    started_s: float | None = None
    compute_s: float = 0.0
    owner: OpenSession | None = None


def free_cores() -> int:
    """Cores that nothing else keeps busy now, at least one: threads that share a core are slower than one alone."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, mine - round(os.getloadavg()[0]))
