"""Keys and values of every lane: growing buffers, shared prefixes, one hard budget in bytes.

A lane's tokens live in read-only *segments*, which forks share by reference, followed by an own *tail* that grows as
tokens come:

    lane 0   [ segment A: 0..600 ][ tail: 600..612 ]
    lane 1   [ segment A: 0..600 ][ tail: 600..609 ]        A is held, and counted, once

Nothing is reserved for a maximum length. Every buffer is paid for in a CachePool *before* it is allocated, so the
budget holds also while a growing tail is copied.

A step is a transaction: `begin` rolls back to the step's position and pays for its tokens, `commit` counts tokens as
they are written, and `keep` or `undo` ends it. Roll-back is a shorter length; what new tokens will overwrite is set
aside until the step is kept: a few tokens as a copy, many by turning the tail into a segment and going on in a new one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch

_ROUND = 64
_GROWTH = 1.25
_SHARE_MIN = 64
"""A tail shorter than this is copied at a fork: sharing it would cost more in every later step than it saves."""
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


class CachePool:
    """The budget. Thread-safe: buffers are paid for on one thread and grow on another."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._used = 0
        self._lock = threading.Lock()

    @property
    def bytes_used(self) -> int:
        return self._used

    def take(self, n_bytes: int) -> bool:
        """Whether `n_bytes` were free; they are taken then."""
        with self._lock:
            if self._used + n_bytes > self.bytes_max:
                return False
            self._used += n_bytes
            return True

    def give_back(self, n_bytes: int) -> None:
        with self._lock:
            self._used -= n_bytes
            if self._used < 0:
                raise AssertionError("more cache was given back than taken")


class Segment:
    """A read-only buffer that lanes share. It is paid back when the last of them lets go."""

    def __init__(self, buffer: torch.Tensor, tokens: int, paid: int, pool: CachePool) -> None:
        self.buffer = buffer
        self.tokens = tokens
        self.paid = paid
        self._pool = pool
        self._holders = 0

    def hold(self) -> Segment:
        self._holders += 1
        return self

    def let_go(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            self._pool.give_back(self.paid)


@dataclass(slots=True)
class _Undo:
    """What a lane was before a step: `own` tokens in its tail, of which `saved` will be overwritten from `at` on; or,
    where the tail itself was set aside, the `segments` that held everything."""

    own: int = 0
    at: int = 0
    saved: torch.Tensor | None = None
    segments: list[tuple[Segment, int]] | None = None


class LaneCache:
    """Keys and values of one sequence. `length` tokens are committed."""

    def __init__(self, shape: CacheShape, pool: CachePool) -> None:
        self._shape = shape
        self._pool = pool
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
        self._undo = _Undo(own=self._own, at=at)
        if overwritten and self._tail is not None:
            self._undo.saved = self._tail[:, :, at : at + overwritten].clone()
        self._own = at
        return True

    def _begin_apart(self, position: int, n_tokens: int) -> bool:
        """`begin` that leaves the old buffers as they are."""
        needed = self._rounded(n_tokens)
        if not self._pool.take(needed * self._shape.bytes_per_token):
            return False
        self.share(at_least=1)
        self._undo = _Undo(segments=[(segment.hold(), used) for segment, used in self._segments])
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
            return
        self._pool.give_back(self._wanted * self._shape.bytes_per_token)
        self._wanted = 0
        if undo.saved is not None and self._tail is not None:
            self._tail[:, :, undo.at : undo.at + undo.saved.shape[2]].copy_(undo.saved)
            self._pool.give_back(undo.saved.nbytes)
        self._own = undo.own

    # ------------------------------------------------------------ roll-back, forks, end

    def truncate(self, length: int) -> None:
        """Forgets the tokens from `length` on."""
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
        self._segments, self._shared = [], 0
        self._tail, self._capacity, self._wanted, self._own = None, 0, 0, 0
