"""Keys and values of every lane: growing buffers, shared prefixes, one hard budget in bytes.

A lane's tokens live in read-only *segments*, which lanes share by reference, followed by an own *tail* that grows as
tokens come:

    lane 0   [ segment A: 0..600 ][ tail: 600..612 ]
    lane 1   [ segment A: 0..600 ][ tail: 600..609 ]        A is held, and counted, once

Forks share what they have in common from the start; lanes of different sessions come to share a prefix by `rebase`
(`prefix_sharing.py` says when).

Nothing is reserved for a maximum length. Every buffer is paid for in a CachePool *before* it is allocated, so the
budget holds also while a growing tail is copied.

A step is a transaction: `begin` rolls back to the step's position and pays for its tokens, `commit` counts tokens as
they are written, and `keep` or `undo` ends it. Roll-back is a shorter length; what new tokens will overwrite is set
aside until the step is kept: a few tokens as a copy, many by turning the tail into a segment and going on in a new one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from compute.runner.fingerprint import CHUNK_TOKENS, Fingerprint
from compute.runner.pool import CachePool, Segment

_ROUND = 64
_GROWTH = 1.25
_SHARE_MIN = 64
"""A tail shorter than this is copied at a fork: sharing it would cost more in every later step than it saves."""
_WASTE_MAX = 2
"""A segment may take so many times the bytes of the part that is shared; another lane's prompt is not kept for it."""
_SET_ASIDE_MAX = 64
"""More overwritten tokens than this are not copied for a possible undo; their buffer is kept instead."""


@dataclass(frozen=True, slots=True)
class CacheShape:
    """What one token takes: `[2 * blocks, kv_heads, 1, head_dim]` elements, keys and values of a block side by side."""

    blocks: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def bytes_per_token(self) -> int:
        return 2 * self.blocks * self.kv_heads * self.head_dim * self.dtype.itemsize

    def allocate(self, tokens: int) -> torch.Tensor:
        size = (2 * self.blocks, self.kv_heads, tokens, self.head_dim)
        with torch.inference_mode(False):  # a tensor made inside could not be changed outside
            return torch.empty(size, dtype=self.dtype, device=self.device)


@dataclass(slots=True)
class _Undo:
    """What a lane was before a step: `own` tokens in its tail, of which `saved` will be overwritten from `at` on; or,
    where the tail itself was set aside, the `segments` that held everything."""

    fingerprint: Fingerprint
    own: int = 0
    at: int = 0
    saved: torch.Tensor | None = None
    segments: list[tuple[Segment, int]] | None = None


class LaneCache:
    """Keys and values of one sequence. `length` tokens are committed.

    `fingerprint` says from which inputs the first chunks came, as far as that is known; a roll-back cuts it.
    """

    def __init__(self, shape: CacheShape, pool: CachePool) -> None:
        self._shape = shape
        self._pool = pool
        self.fingerprint: Fingerprint = ()
        self._segments: list[tuple[Segment, int]] = []
        self._shared = 0
        self._tail: torch.Tensor | None = None
        self._capacity = 0
        self._wanted = 0
        self._own = 0
        self._undo: _Undo | None = None

    @property
    def length(self) -> int:
        return self._shared + self._own

    @property
    def bytes_paid(self) -> int:
        """Bytes taken for the tail, a larger one to come, and what is set aside; segments pay for themselves."""
        saved = self._undo.saved if self._undo is not None else None
        return (self._capacity + self._wanted) * self._shape.bytes_per_token + (0 if saved is None else saved.nbytes)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All that the lane holds, those set aside by a running step included."""
        aside = self._undo.segments if self._undo is not None else None
        return tuple(segment for segment, _ in (*self._segments, *(aside or ())))

    # ------------------------------------------------------------ growing

    def reserve(self, position: int, n_tokens: int) -> bool:
        """Pays for room up to `position + n_tokens`; False, with nothing changed, when the pool has not enough."""
        wanted = self._capacity_for(position, n_tokens)
        if wanted <= max(self._capacity, self._wanted):
            return True
        per_token = self._shape.bytes_per_token
        if not self._pool.take((wanted - self._wanted) * per_token):
            return False
        self._wanted = wanted
        return True

    def grow(self) -> None:
        """Allocates what `reserve` paid for, on the caller's thread, and frees the smaller buffer."""
        if not self._wanted:
            return
        larger = self._shape.allocate(self._wanted)
        if self._tail is not None and self._own:
            larger[:, :, : self._own].copy_(self._tail[:, :, : self._own])  # what was rolled back is in `_undo.saved`
        self._pool.give_back(self._capacity * self._shape.bytes_per_token)
        self._tail, self._capacity, self._wanted = larger, self._wanted, 0

    def _capacity_for(self, position: int, n_tokens: int) -> int:
        own = max(0, position - self._shared) + n_tokens
        if own <= self._capacity or n_tokens == 0:
            return self._capacity
        return self._rounded(own)

    @staticmethod
    def _rounded(tokens: int) -> int:
        """Capacity to take for `tokens`: some headroom, so that a lane that grows by single tokens is seldom copied."""
        return -(-int(tokens * _GROWTH) // _ROUND) * _ROUND

    # ------------------------------------------------------------ one step

    def slots(self, n_tokens: int) -> tuple[torch.Tensor, ...]:
        """Where the next `n_tokens` go: a view `[kv_heads, n_tokens, head_dim]` for each block's K, V in turn."""
        assert self._tail is not None, "grow() comes before a step"
        return self._tail[:, :, self._own : self._own + n_tokens].unbind(0)

    def views(self, n_tokens: int) -> tuple[torch.Tensor, ...]:
        """The tail with the next `n_tokens`: `[kv_heads, tokens, head_dim]` for each block's K, V in turn."""
        assert self._tail is not None, "grow() comes before a step"
        return self._tail[:, :, : self._own + n_tokens].unbind(0)

    def shared_views(self) -> list[tuple[torch.Tensor, ...]]:
        """For each segment what `views` gives for the tail."""
        return [segment.buffer[:, :, :used].unbind(0) for segment, used in self._segments]

    def commit(self, n_tokens: int) -> None:
        """The next `n_tokens` have been written."""
        self._own += n_tokens

    # ------------------------------------------------------------ a step as a transaction

    def begin(self, position: int, n_tokens: int) -> bool:
        """Rolls back to `position`, with room for `n_tokens` more; False, with nothing changed, when the pool lacks it.

        Until `keep` or `undo`, the lane can return to what it is now.
        """
        if self._undo is not None:
            raise AssertionError("a lane takes part in one step at a time")
        overwritten = max(0, min(self.length, position + n_tokens) - position)
        if position < self._shared or overwritten > _SET_ASIDE_MAX:
            return self._begin_apart(position, n_tokens)
        saved_bytes = overwritten * self._shape.bytes_per_token
        if not self._pool.take(saved_bytes):
            return False
        if not self.reserve(position, n_tokens):
            self._pool.give_back(saved_bytes)
            return False
        at = position - self._shared
        self._undo = _Undo(self.fingerprint, own=self._own, at=at)
        if overwritten and self._tail is not None:
            self._undo.saved = self._tail[:, :, at : at + overwritten].clone()
        self.truncate(position)
        return True

    def _begin_apart(self, position: int, n_tokens: int) -> bool:
        """`begin` that leaves the old buffers as they are."""
        needed = self._rounded(n_tokens)
        if not self._pool.take(needed * self._shape.bytes_per_token):
            return False
        self.share(at_least=1)
        self._undo = _Undo(self.fingerprint, segments=[(segment.hold(), used) for segment, used in self._segments])
        self.truncate(position)
        self._pool.give_back(self._wanted * self._shape.bytes_per_token)
        self._wanted = needed
        return True

    def keep(self) -> None:
        """Ends a step that succeeded: what it set aside is freed. Nothing happens without a step."""
        undo, self._undo = self._undo, None
        if undo is None:
            return
        if undo.saved is not None:
            self._pool.give_back(undo.saved.nbytes)
        for segment, _ in undo.segments or ():
            segment.let_go()

    def undo(self) -> None:
        """Ends a step that failed: the lane is what it was at `begin`. Nothing happens without a step."""
        undo, self._undo = self._undo, None
        if undo is None:
            return
        if undo.segments is not None:
            self.free()
            self._segments = undo.segments
            self._shared = sum(used for _, used in undo.segments)
            self.fingerprint = undo.fingerprint
            return
        self._pool.give_back(self._wanted * self._shape.bytes_per_token)
        self._wanted = 0
        if undo.saved is not None and self._tail is not None:
            self._tail[:, :, undo.at : undo.at + undo.saved.shape[2]].copy_(undo.saved)
            self._pool.give_back(undo.saved.nbytes)
        self._own = undo.own
        self.fingerprint = undo.fingerprint

    # ------------------------------------------------------------ roll-back, forks, end

    def truncate(self, length: int) -> None:
        """Forgets the tokens from `length` on."""
        self.fingerprint = self.fingerprint[: length // CHUNK_TOKENS]
        if length >= self._shared:
            self._own = length - self._shared
            return
        self._own = 0
        kept: list[tuple[Segment, int]] = []
        start = 0
        for segment, used in self._segments:
            if (rest := min(used, length - start)) > 0:
                kept.append((segment, rest))
            else:
                segment.let_go()
            start += used
        self._segments, self._shared = kept, length

    def share(self, at_least: int = _SHARE_MIN) -> None:
        """Turns a tail of `at_least` tokens into a segment, so that forks can hold it by reference.

        A tail that is short beside what is shared already stays: sequences that fork again and again would fall into
        ever more pieces. So the number of segments grows with the logarithm of the length.
        """
        if self._tail is None or self._own < max(at_least, self._shared // 2 if at_least > 1 else 0):
            return
        paid = self._capacity * self._shape.bytes_per_token
        self._segments.append((Segment(self._tail, self._own, paid, self._pool).hold(), self._own))
        self._shared += self._own
        self._tail, self._capacity, self._own = None, 0, 0

    def fork(self) -> LaneCache | None:
        """A lane with the same tokens: segments by reference, the tail copied. None when the pool has not enough."""
        twin = LaneCache(self._shape, self._pool)
        if self._own and not twin.reserve(0, self._own):
            return None
        twin._segments = [(segment.hold(), used) for segment, used in self._segments]
        twin._shared = self._shared
        twin.fingerprint = self.fingerprint
        if self._own:
            assert self._tail is not None
            twin.grow()
            assert twin._tail is not None
            twin._tail[:, :, : self._own].copy_(self._tail[:, :, : self._own])
            twin._own = self._own
        return twin

    def free(self) -> None:
        """Pays everything back; the lane is empty afterwards."""
        self.keep()
        self._pool.give_back(self.bytes_paid)
        for segment, _ in self._segments:
            segment.let_go()
        self._segments, self._shared, self.fingerprint = [], 0, ()
        self._tail, self._capacity, self._wanted, self._own = None, 0, 0, 0

    # ------------------------------------------------------------ a prefix that lanes turn out to have in common

    def prefix_views(self, n_tokens: int) -> list[torch.Tensor]:
        """Views `[2 * blocks, kv_heads, tokens, head_dim]` that hold the first `n_tokens`, in order."""
        views, left = [], n_tokens
        for segment, used in self._segments:
            views.append(segment.buffer[:, :, : min(used, left)])
            left -= min(used, left)
        if left:
            assert self._tail is not None
            views.append(self._tail[:, :, :left])
        return [view for view in views if view.shape[2]]

    def prefix_segment(self, n_tokens: int) -> Segment | None:
        """The segment with the first `n_tokens`, where there is one that holds not much else."""
        if not self._segments:
            return None
        segment, used = self._segments[0]
        fits = used >= n_tokens and segment.paid <= _WASTE_MAX * n_tokens * self._shape.bytes_per_token
        return segment if fits else None

    def owns(self, n_tokens: int) -> bool:
        """Whether the first `n_tokens` are in a buffer of the lane's own."""
        return not self._segments and self._own >= n_tokens

    def can_rebase(self, n_tokens: int) -> bool:
        """Whether the first `n_tokens` are the lane's own, and no step has hold of them."""
        return self.owns(n_tokens) and self._undo is None

    def begin_rebase(self, n_tokens: int) -> Rebase | None:
        """First of three parts of putting a shared segment in the place of the first `n_tokens`: pays for a tail with
        the tokens after them. None when the pool has not enough.

        `Rebase.copy` is next, on the device's thread while no batch runs, then `end_rebase`.
        """
        rest = self._own - n_tokens
        capacity = self._rounded(rest) if rest else 0
        if not self._pool.take(capacity * self._shape.bytes_per_token):
            return None
        assert self._tail is not None
        return Rebase(self._shape, self._tail, n_tokens, self._own, capacity)

    def end_rebase(self, rebase: Rebase, head: Segment) -> bool:
        """The lane continues `head`, whose first `n_tokens` equal its own, and its old buffer is paid back; or False,
        with nothing changed, when it is no longer what it was at `begin_rebase`, or nothing was copied."""
        per_token = self._shape.bytes_per_token
        is_same = self._tail is rebase.source and self._own == rebase.length and rebase.is_copied
        if not (is_same and self.can_rebase(rebase.n_tokens)):
            self._pool.give_back(rebase.capacity * per_token)
            return False
        self._pool.give_back(self._capacity * per_token)
        self._segments, self._shared = [(head.hold(), rebase.n_tokens)], rebase.n_tokens
        self._tail, self._capacity, self._own = rebase.tail, rebase.capacity, rebase.length - rebase.n_tokens
        return True


@dataclass(slots=True, eq=False)
class Rebase:
    """A lane's way onto a shared head: what is paid for, and then holds, its tokens after the first `n_tokens`."""

    shape: CacheShape
    source: torch.Tensor
    n_tokens: int
    length: int
    capacity: int
    tail: torch.Tensor | None = None
    is_copied: bool = False

    def copy(self) -> None:
        if self.capacity:
            self.tail = self.shape.allocate(self.capacity)
            self.tail[:, :, : self.length - self.n_tokens].copy_(self.source[:, :, self.n_tokens : self.length])
        self.is_copied = True
