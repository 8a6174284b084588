"""What the session streams of a provider share: its engine, its terms, its budgets, its codec thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch

from compute.identity import Signer
from compute.server.quota import StepQuota
from compute.server.service_options import ServiceOptions
from compute.server.terms import ServedTerms
from compute.types import PeerId, SessionId, Span, StepHeader
from compute.wire.frames import Reservation
from compute.wire.limits import Budget

if TYPE_CHECKING:
    from compute.runner.engine import EngineStats, StepResult

T = TypeVar("T")


class SessionEngine(Protocol):
    """What a session needs of `compute.runner.engine.Engine`."""

    async def open(self, session: SessionId, client: str, span: Span, lanes: int, max_tokens: int) -> None: ...
    async def step(self, session: SessionId, header: StepHeader, hidden: torch.Tensor) -> StepResult: ...
    def close(self, session: SessionId) -> None: ...
    def stats(self) -> EngineStats: ...


@dataclass(slots=True)
class SharedState:
    """What all streams of a provider share.

    `held` are the bytes of messages of all clients. `session_ids` are those that the engine holds."""

    engine: SessionEngine
    terms: ServedTerms
    signer: Signer
    options: ServiceOptions
    clock: Callable[[], float]
    codec_pool: Executor
    held: Budget
    quota: StepQuota
    session_ids: set[SessionId] = field(default_factory=set)

    def reservation(self, peer: PeerId) -> Reservation:
        """For a message of `peer`, empty."""
        return Reservation(self.held, peer, self.options.free_bytes)

    async def offloaded(self, n_bytes: int, work: Callable[[], T]) -> T:
        """The result of `work`: done here when it is small, in the codec thread when it would hold up the loop."""
        if n_bytes <= self.options.offload_bytes:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self.codec_pool, work)
