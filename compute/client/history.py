"""What every hop was fed, so that another one can be fed the same. Without I/O.

The input of a hop is the hidden state at the block where it begins, its *boundary*. Every token that a session computes
takes one *slot*; for every boundary there is an arena, `[slots, width]`, that grows by doubling and holds the token's
input there. A lane is nothing but the list of its tokens' slots, the same for all boundaries. Hence

- appending costs a copy of the new tokens only, however long the history is;
- rolling back drops slots off a lane, forking copies a list of integers: no tensor moves;
- tokens that lanes share are held once, and whoever replays them sees that they are shared.

Slots that no lane refers to any more are reclaimed by `compact`, at an amortised cost of O(1) per token.

A step is drafted, written boundary by boundary as it passes the hops, and committed when it came through all of them:
until then the lanes are as they were, and a draft that is dropped leaves nothing behind. Values are kept in fp32, which
holds every wire format exactly.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from compute.errors import BadRequest
from compute.types import Row

_SLOTS_MIN = 256


@dataclass(frozen=True, slots=True)
class Draft:
    """A step that is on its way. Its tokens, packed row after row, take the slots from `first_slot` on."""

    rows: tuple[Row, ...]
    fork: tuple[int, ...]
    first_slot: int
    lanes_after: int

    @property
    def n_tokens(self) -> int:
        return sum(row.n_tokens for row in self.rows)


class History:
    """Inputs of all hops of one session."""

    def __init__(self, width: int, lanes: int) -> None:
        if width < 1 or lanes < 1:
            raise ValueError("a history needs a width and at least one lane")
        self._width = width
        self._lanes = [array("q") for _ in range(lanes)]
        self._arenas: dict[int, torch.Tensor] = {}
        self._slots_used = 0
        self._compact_at = _SLOTS_MIN

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens that each lane holds."""
        return tuple(len(lane) for lane in self._lanes)

    @property
    def lanes(self) -> Sequence[Sequence[int]]:
        """The slots of each lane's tokens. Not to be changed by the caller."""
        return self._lanes

    @property
    def boundaries(self) -> frozenset[int]:
        return frozenset(self._arenas)

    @property
    def nbytes(self) -> int:
        """Bytes that are allocated."""
        return sum(arena.nbytes for arena in self._arenas.values())

    # ------------------------------------------------------------------ a step

    def draft(self, rows: Sequence[Row], fork: Sequence[int] = ()) -> Draft:
        """The step, checked against the lanes; one at a time. Raises BadRequest when it does not fit them."""
        for source in fork:
            if not 0 <= source < len(self._lanes):
                raise BadRequest(f"a fork from lane {source}; the session has {len(self._lanes)}")
        lengths = [len(self._lanes[source]) for source in fork] if fork else self.lengths
        above = -1
        for row in rows:
            if not above < row.lane < len(lengths):
                raise BadRequest(f"lane {row.lane} is out of order, repeated, or not below {len(lengths)}")
            if row.n_tokens < 0 or not 0 <= row.position <= lengths[row.lane]:
                raise BadRequest(f"position {row.position} of lane {row.lane}, which holds {lengths[row.lane]} tokens")
            above = row.lane
        return Draft(tuple(rows), tuple(fork), self._slots_used, len(lengths))

    def write(self, boundary: int, draft: Draft, values: torch.Tensor) -> None:
        """Notes `values`, `[draft.n_tokens, width]` of any float dtype, as the draft's input at `boundary`.

        Written again, it replaces what was written before.
        """
        end = draft.first_slot + draft.n_tokens
        self._arena(boundary, end)[draft.first_slot : end] = values

    def commit(self, draft: Draft) -> None:
        """Applies fork, roll-backs and new tokens to the lanes."""
        if draft.fork:
            self._lanes = [self._lanes[source][:] for source in draft.fork]
        slot = draft.first_slot
        for row in draft.rows:
            lane = self._lanes[row.lane]
            del lane[row.position :]
            lane.extend(range(slot, slot + row.n_tokens))
            slot += row.n_tokens
        self._slots_used = slot

    def truncate(self, lane: int, length: int) -> None:
        """Rolls `lane` back to its first `length` tokens. Raises BadRequest when it has fewer."""
        if not 0 <= lane < len(self._lanes) or not 0 <= length <= len(self._lanes[lane]):
            raise BadRequest(f"lane {lane} cannot be rolled back to {length} tokens; the lanes hold {self.lengths}")
        del self._lanes[lane][length:]

    # ------------------------------------------------------------------ a replay

    def read(self, boundary: int, slots: Sequence[int]) -> torch.Tensor:
        """The inputs at `boundary` of the tokens in `slots`, fp32 `[len(slots), width]`, a copy."""
        return self._arenas[boundary][_index(slots)]

    def fill(self, boundary: int, slots: Sequence[int], values: torch.Tensor) -> None:
        """Notes the inputs, `[len(slots), width]`, of tokens that had none at `boundary`: a hop begins there now."""
        self._arena(boundary, self._slots_used)[_index(slots)] = values.to(torch.float32)

    def keep_only(self, boundaries: Collection[int]) -> None:
        """Forgets the inputs at all other boundaries: no hop begins there any more."""
        for boundary in self.boundaries.difference(boundaries):
            del self._arenas[boundary]

    # ------------------------------------------------------------------ memory

    def compact(self) -> None:
        """Reclaims slots that no lane refers to, if they are more than half. Not while a draft is on its way."""
        if self._slots_used < self._compact_at:
            return
        live = np.unique(np.concatenate([np.frombuffer(lane, np.int64) for lane in self._lanes if lane] or [_NONE]))
        self._compact_at = max(_SLOTS_MIN, 2 * len(live))
        if 2 * len(live) > self._slots_used:
            return
        for boundary, arena in self._arenas.items():
            smaller = torch.empty(_capacity(len(live)), self._width)
            smaller[: len(live)] = arena[torch.from_numpy(live)]
            self._arenas[boundary] = smaller
        self._lanes = [_renumbered(lane, live) for lane in self._lanes]
        self._slots_used = len(live)

    def _arena(self, boundary: int, slots: int) -> torch.Tensor:
        """The boundary's arena, with room for `slots`."""
        arena = self._arenas.get(boundary)
        if arena is None:
            arena = self._arenas[boundary] = torch.empty(_capacity(slots), self._width)
        elif arena.shape[0] < slots:
            larger = torch.empty(_capacity(max(slots, 2 * arena.shape[0])), self._width)
            used = min(self._slots_used, arena.shape[0])
            larger[:used] = arena[:used]
            arena = self._arenas[boundary] = larger
        return arena


_NONE = np.empty(0, np.int64)


def _capacity(slots: int) -> int:
    return max(_SLOTS_MIN, slots)


def _index(slots: Sequence[int]) -> torch.Tensor:
    return torch.tensor(np.asarray(slots, np.int64))


def _renumbered(lane: array[int], live: np.ndarray[tuple[int], np.dtype[np.int64]]) -> array[int]:
    """The lane with every slot replaced by its place in the sorted `live`."""
    places = np.searchsorted(live, np.frombuffer(lane, np.int64)) if lane else _NONE
    return array("q", places.astype(np.int64).tobytes())
