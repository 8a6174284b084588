"""What goes into an Engine and comes out of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch

from compute.errors import ComputeError
from compute.runner.cache import LaneCache
from compute.runner.pool import CachePool, Segment
from compute.runner.room import Asker
from compute.runner.scheduler import SchedulerOptions, StepKey
from compute.runner.sessions import Draft, SessionLanes
from compute.types import Row, SessionId, StepHeader


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
        share_between_clients: whether a prefix that sessions of different clients have in common is held once; one of
            sessions of the same client always is. See `prefix_sharing` for what a client can learn from that.
        threads: of one operation on the CPU; None takes the cores that are free when the engine starts.
    """

    cache_bytes: int
    cache_wait_s: float = 2.0
    sessions_max: int = 256
    queue_tokens_max: int = 32_768
    training_tokens_max: int = 256
    gather_s: float = 0.0
    scheduler: SchedulerOptions = field(default_factory=SchedulerOptions)
    share_between_clients: bool = True
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


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True, eq=False)
class OpenSession:
    """`draft`: its lanes are in use; `step`: by a step that is queued or runs; `is_stepping`: somebody waits for one;
    `asker`: while a step waits for room; `may_step`: unset while lanes are being put on a shared head; `closed`: why,
    after the end."""

    client: str
    state: SessionLanes
    draft: Draft | None = None
    step: StepInProgress | None = None
    is_stepping: bool = False
    asker: Asker | None = None
    may_step: asyncio.Event = field(default_factory=_set_event)
    closed: ComputeError | None = None

    @property
    def lanes(self) -> list[LaneCache]:
        """All that holds bytes now: before and in the step."""
        known = {id(lane): lane for lane in (*self.state.lanes, *(self.draft.lanes if self.draft is not None else ()))}
        return list(known.values())


@dataclass(slots=True)
class StepInProgress:
    """A step on its way; `rows`, `lanes`, `inputs` and `outputs` are those with tokens, in order."""

    key: StepKey
    owner: OpenSession
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

    @classmethod
    def of(
        cls, key: StepKey, owner: OpenSession, draft: Draft, header: StepHeader, hidden: torch.Tensor, arrived_s: float
    ) -> StepInProgress:
        rows = tuple(row for row in header.rows if row.n_tokens)
        return cls(
            key=key,
            owner=owner,
            draft=draft,
            rows=rows,
            lanes=[draft.lanes[row.lane] for row in rows],
            inputs=hidden.split([row.n_tokens for row in rows]) if rows else (),
            outputs=[[] for _ in rows],
            done=asyncio.get_running_loop().create_future(),
            arrived_s=arrived_s,
            tokens_left=header.n_tokens,
        )

    @property
    def output(self) -> torch.Tensor:
        """`[n_tokens, width]`, of all rows in order, when all has run."""
        pieces = [piece for row in self.outputs for piece in row]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def bytes_held(sessions: Iterable[OpenSession], heads: Iterable[Segment] = ()) -> int:
    """Bytes that the sessions, and `heads` beside them, hold together: what they share counts once."""
    lanes = [lane for session in sessions for lane in session.lanes]
    segments: set[Segment] = {*heads, *(segment for lane in lanes for segment in lane.segments)}
    return sum(lane.bytes_paid for lane in lanes) + sum(segment.paid for segment in segments)


def bytes_held_by_client(sessions: Iterable[OpenSession]) -> dict[str, int]:
    """Of each client that holds any. What clients share is charged to each in full: it is what each of them uses."""
    by_client: dict[str, list[OpenSession]] = {}
    for session in sessions:
        by_client.setdefault(session.client, []).append(session)
    held = {client: bytes_held(theirs) for client, theirs in by_client.items()}
    return {client: n_bytes for client, n_bytes in held.items() if n_bytes}


class HeldByClient:
    """`bytes_held_by_client`, counted anew only when the pool has changed: it looks at all lanes, and a full cache asks
    for it with every step that waits."""

    def __init__(self, pool: CachePool, sessions: Mapping[SessionId, OpenSession]) -> None:
        self._pool = pool
        self._sessions = sessions
        self._counted_at = -1
        self._held: Mapping[str, int] = {}

    def __call__(self) -> Mapping[str, int]:
        if self._counted_at != self._pool.n_changes:
            self._counted_at = self._pool.n_changes
            self._held = bytes_held_by_client(self._sessions.values())
        return self._held


def free_cores() -> int:
    """Cores that nothing else keeps busy now, at least one: threads that share a core are slower than one alone."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, mine - round(os.getloadavg()[0]))
