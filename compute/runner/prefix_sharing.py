"""Sessions that begin with the same tokens hold the keys and values of those once.

A provider sees hidden states, never tokens. After the first prefill of a lane, and whenever else a lane is written from
position 0 on in one step, its fingerprint is compared with those of all live lanes on the same blocks. Where one agrees
on at least `_TOKENS_MIN` tokens, the *bytes* of the keys and values are compared, chunk by chunk, on the device; the
chunks that are equal become a read-only head that both lanes hold, and each keeps only its own tail:

    before   session 1 [ tail: 0..600 ]             session 2 [ tail: 0..590 ]
    after    session 1 [ head: 0..576 ][ 576..600 ]  session 2 [ head: 0..576 ][ 576..590 ]

Why memory only. Every session computes its own prefix, and shares it only when it is bit for bit what the other one
holds: what a session computes from is never another's rounding, and no client can plant anything in another's cache.
The scheduler cuts a prompt at the same places whoever else prefills, so that on most devices equal inputs give equal
bytes; where a batch of another make-up is rounded differently, memory is all that is lost.
(Attention over a head and a tail is merged from both, `shared_prefix.py`: its last bits may differ from those of one
piece, as those of one batch differ from those of another.)

What it tells others. No computation is skipped, so the time to the first token does not depend on what other clients
hold. What remains is faint: a client that already guesses the first `_TOKENS_MIN` tokens of another's running session,
all of them, can see that the cache fills less than it should, and that steps over a long shared head are a little
faster. `EngineOptions.share_between_clients = False` ends that: then only sessions of one client share.

A head is paid for once, and paid back when its last lane lets go (`Segment`). A roll-back below its end uses less of
it. All of this happens between batches, when no buffer is being written; sessions concerned begin no step meanwhile. A
lane that cannot be joined now, for lack of room or because it changed, keeps its own copy.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import torch

from compute.runner.cache import CacheShape, LaneCache
from compute.runner.engine_types import OpenSession
from compute.runner.fingerprint import CHUNK_TOKENS, common_tokens, fingerprint_of
from compute.runner.pool import CachePool, Segment
from compute.types import Row, Span

logger = logging.getLogger(__name__)
T = TypeVar("T")

_TOKENS_MIN = 2 * CHUNK_TOKENS
"""A shorter common prefix would cost more in every later step than it saves."""

_TRIES = 3
"""Lanes that a newcomer is compared with."""


class OnDevice(Protocol):
    """Runs something on the device's thread."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


@dataclass(slots=True, eq=False)
class _Due:
    """A lane to be looked at between batches: a newcomer, or one that is to go on from `head`, `n_tokens` long."""

    owner: OpenSession
    lane: LaneCache
    head: Segment | None = None
    n_tokens: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether no step has hold of the lane."""
        return self.owner.step is None or self.owner.closed is not None


class PrefixSharing:
    """Finds and makes common heads. Methods run on the engine's loop; `run_due` while no batch is on the device."""

    def __init__(
        self, shape: CacheShape, pool: CachePool, dtype: torch.dtype, first_block: int, between_clients: bool
    ) -> None:
        self._shape = shape
        self._pool = pool
        self._dtype = dtype
        self._first_block = first_block
        self._between_clients = between_clients
        self._due: list[_Due] = []
        self.is_running = False

    @property
    def heads(self) -> list[Segment]:
        """Held for lanes that have yet to take them up."""
        return [due.head for due in self._due if due.head is not None]

    def prefilled(self, owner: OpenSession, lane: LaneCache, row: Row, hidden: torch.Tensor) -> None:
        """A kept step has written `row` of `lane`, of inputs `hidden`: `run_due` has something to do, where it is long
        enough."""
        if row.position or row.n_tokens < _TOKENS_MIN:
            return
        lane.fingerprint = fingerprint_of(owner.state.span, hidden, self._dtype)
        self._put(_Due(owner, lane))

    async def run_due(self, sessions: Collection[OpenSession], on_device: OnDevice) -> bool:
        """Looks at every lane that is due and whose session is between steps; the others stay due, and the ends of
        their steps are when to call again. True when bytes may have come free."""
        if not self._due:
            return False
        self.is_running = True
        try:
            while (due := next((due for due in self._due if due.is_ready), None)) is not None:
                self._due.remove(due)
                try:
                    if due.owner.closed is None:
                        await self._join(due, sessions, on_device)
                except Exception:  # sharing is a saving: nobody's step fails for it
                    logger.exception("a common prefix could not be shared")
                finally:
                    self._drop(due)
        finally:
            self.is_running = False
        return True

    def clear(self) -> None:
        """Lets go of all that is due: the engine stops."""
        while self._due:
            self._drop(self._due.pop(0))

    def _put(self, due: _Due) -> None:
        due.owner.may_step.clear()
        self._due.append(due)

    def _drop(self, due: _Due) -> None:
        if due.head is not None:
            due.head.let_go()
        if all(other.owner is not due.owner for other in self._due):
            due.owner.may_step.set()

    # ------------------------------------------------------------ one lane

    async def _join(self, due: _Due, sessions: Collection[OpenSession], on_device: OnDevice) -> None:
        if due.head is not None:
            # No step of the session began since the bytes were compared: the fingerprint tells what is still there.
            if len(due.lane.fingerprint) * CHUNK_TOKENS >= due.n_tokens:
                await self._rebase(due.lane, due.head, due.n_tokens, on_device)
            return
        for owner, partner, n_tokens in self._partners(due, sessions):
            if await self._join_with(due, owner, partner, n_tokens, on_device):
                return

    async def _join_with(
        self, due: _Due, owner: OpenSession, partner: LaneCache, n_tokens: int, on_device: OnDevice
    ) -> bool:
        """Whether a newcomer had enough in common, byte for byte, with a lane that may have `n_tokens`."""
        lane = due.lane
        views = lane.prefix_views(n_tokens), partner.prefix_views(n_tokens)
        n_tokens = await on_device(partial(_equal_tokens, *views, self._written(owner.state.span)))
        # No batch runs meanwhile: the bytes are what they were, as long as both fingerprints say that they are there.
        if n_tokens < _TOKENS_MIN or common_tokens(lane.fingerprint, partner.fingerprint) < n_tokens:
            return False
        segment = partner.prefix_segment(n_tokens)
        if segment is not None:
            head = segment.hold()
        elif partner.owns(n_tokens) and (copied := await self._copied_head(lane, n_tokens, on_device)) is not None:
            head = copied
            if common_tokens(lane.fingerprint, partner.fingerprint) >= n_tokens:
                self._put(_Due(owner, partner, head.hold(), n_tokens))
        else:
            return False
        try:
            await self._rebase(lane, head, n_tokens, on_device)
        finally:
            head.let_go()
        return True

    def _partners(self, due: _Due, sessions: Collection[OpenSession]) -> list[tuple[OpenSession, LaneCache, int]]:
        """The few lanes that may have most in common with a newcomer and can share it, and how many tokens that is.

        Several, since those of equal inputs may have been rounded differently; of those on one head, one.
        """
        found: dict[object, tuple[OpenSession, LaneCache, int]] = {}
        for owner in sessions:
            if owner.client != due.owner.client and not self._between_clients:
                continue
            for lane in owner.state.lanes:
                n_tokens = common_tokens(lane.fingerprint, due.lane.fingerprint)
                if lane is due.lane or n_tokens < _TOKENS_MIN:
                    continue
                segment = lane.prefix_segment(n_tokens)
                if segment is not None or lane.owns(n_tokens):
                    found.setdefault(segment or lane, (owner, lane, n_tokens))
        return sorted(found.values(), key=lambda one: (one[2], bool(one[1].segments)), reverse=True)[:_TRIES]

    async def _copied_head(self, lane: LaneCache, n_tokens: int, on_device: OnDevice) -> Segment | None:
        """A new segment with the first tokens of `lane` and nothing else; None when the pool has not enough."""
        paid = n_tokens * self._shape.bytes_per_token
        if not self._pool.take(paid):
            return None
        try:
            buffer = await on_device(partial(_copied, self._shape, lane.prefix_views(n_tokens), n_tokens))
        except BaseException:
            self._pool.give_back(paid)
            raise
        return Segment(buffer, n_tokens, paid, self._pool).hold()

    async def _rebase(self, lane: LaneCache, head: Segment, n_tokens: int, on_device: OnDevice) -> None:
        rebase = lane.begin_rebase(n_tokens) if lane.can_rebase(n_tokens) else None
        if rebase is None:
            return
        try:
            await on_device(rebase.copy)
        finally:
            lane.end_rebase(rebase, head)

    def _written(self, span: Span) -> slice:
        """Where a session on `span` writes in the first dimension of a buffer; the rest was never initialised."""
        return slice(2 * (span.start - self._first_block), 2 * (span.end - self._first_block))


def _equal_tokens(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor], blocks: slice) -> int:
    """How many leading tokens, in whole chunks, have the same bytes in `blocks` of both; each in consecutive pieces."""
    n_tokens = sum(piece.shape[2] for piece in a)
    for start in range(0, n_tokens, CHUNK_TOKENS):
        mine, other = (_as_bits(_chunk([piece[blocks] for piece in pieces], start)) for pieces in (a, b))
        if not torch.equal(mine, other):
            return start
    return n_tokens


def _chunk(pieces: Sequence[torch.Tensor], start: int) -> torch.Tensor:
    found, stop = [], start + CHUNK_TOKENS
    for piece in pieces:
        found.append(piece[:, :, max(0, start) : max(0, stop)])
        start, stop = start - piece.shape[2], stop - piece.shape[2]
    found = [part for part in found if part.shape[2]]
    return found[0] if len(found) == 1 else torch.cat(found, 2)


def _as_bits(values: torch.Tensor) -> torch.Tensor:
    """The same bytes as integers: floats call 0 and -0 equal."""
    return values.view({1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[values.dtype.itemsize])


def _copied(shape: CacheShape, pieces: Sequence[torch.Tensor], n_tokens: int) -> torch.Tensor:
    buffer = shape.allocate(n_tokens)
    return torch.cat(list(pieces), 2, out=buffer) if len(pieces) > 1 else buffer.copy_(pieces[0])
