"""Writes on top of a state, with nested transactions.

The writes stand in one dictionary, whatever the nesting; each open transaction remembers what it overwrote. Reading is
one look-up, committing merges what was remembered into the layer below, rolling back puts it back.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass

from chain_client.devchain.errors import HostCallError, ScaleError
from chain_client.devchain.scale import Reader, compact
from chain_client.devchain.trie import Trie

DEPTH_MAX = 512
_LENGTH_MAX = (1 << 32) - 1
"""A vector's length has 32 bits."""


class _Absent:
    """Marks a key that the layer below had not written."""


_ABSENT = _Absent()
_Remembered = bytes | None | _Absent


@dataclass(frozen=True, slots=True)
class PrefixRemoval:
    """What `clear_prefix` did: `visited` keys of the base, and whether keys of the base are left."""

    visited: int
    remaining: bool


class Overlay:
    """Reads fall through to `base`; writes stay here until somebody takes `changes`."""

    __slots__ = ("_applied", "_layers", "_sorted", "_writes", "base")

    def __init__(self, base: Trie) -> None:
        self.base = base
        self._writes: dict[bytes, bytes | None] = {}
        self._sorted: list[bytes] = []
        self._layers: list[dict[bytes, _Remembered]] = []
        self._applied: Trie | None = base

    @property
    def depth(self) -> int:
        """How many transactions are open."""
        return len(self._layers)

    @property
    def changes(self) -> dict[bytes, bytes | None]:
        """A copy of the writes, None for a deleted key; some may write what the base holds already."""
        return dict(self._writes)

    def get(self, key: bytes) -> bytes | None:
        """The value at `key`, as of now."""
        if key in self._writes:
            return self._writes[key]
        return self.base.get(key)

    def exists(self, key: bytes) -> bool:
        """Is there a value at `key`?"""
        return self.get(key) is not None

    def set(self, key: bytes, value: bytes | None) -> None:
        """Write `value`; None deletes."""
        written = self._writes.get(key, _ABSENT)
        if written is _ABSENT:
            insort(self._sorted, key)
        if self._layers:
            self._layers[-1].setdefault(key, written)
        self._writes[key] = value
        self._applied = None

    def clear(self, key: bytes) -> None:
        """Delete `key`."""
        self.set(key, None)

    def append(self, key: bytes, item: bytes) -> None:
        """Append an encoded item to the SCALE vector at `key`; what is no vector there becomes one with this item."""
        old = self.get(key) or b""
        reader = Reader(old)
        try:
            count = reader.compact()
        except ScaleError:
            count = _LENGTH_MAX
        if count < _LENGTH_MAX:
            self.set(key, compact(count + 1) + old[reader.position :] + item)
        else:
            self.set(key, compact(1) + item)

    def next_key(self, key: bytes) -> bytes | None:
        """The least existing key strictly greater than `key`."""
        at = bisect_right(self._sorted, key)
        below: bytes | None = self.base.next_key(key)
        while below is not None and self._writes.get(below, _ABSENT) is None:
            below = self.base.next_key(below)
        for index in range(at, len(self._sorted)):
            written = self._sorted[index]
            if below is not None and written >= below:
                break
            if self._writes[written] is not None:
                return written
        return below

    def clear_prefix(self, prefix: bytes, limit: int | None) -> PrefixRemoval:
        """Delete what begins with `prefix`: all that was written here, and at most `limit` keys of the base."""
        for index in range(bisect_left(self._sorted, prefix), len(self._sorted)):
            if not self._sorted[index].startswith(prefix):
                break
            if self._writes[self._sorted[index]] is not None:
                self.set(self._sorted[index], None)
        visited = 0
        for key, _ in self.base.items(prefix):
            if visited == limit:
                return PrefixRemoval(visited, True)
            if self._writes.get(key, _ABSENT) is not None:
                self.set(key, None)
            visited += 1
        return PrefixRemoval(visited, False)

    def start(self) -> None:
        """Open a transaction."""
        if len(self._layers) >= DEPTH_MAX:
            raise HostCallError(f"more than {DEPTH_MAX} nested storage transactions")
        self._layers.append({})

    def commit(self) -> None:
        """Close the innermost transaction and keep its writes."""
        if not self._layers:
            raise HostCallError("no storage transaction is open")
        layer = self._layers.pop()
        if self._layers:
            below = self._layers[-1]
            for key, remembered in layer.items():
                below.setdefault(key, remembered)

    def rollback(self) -> None:
        """Close the innermost transaction and undo its writes."""
        if not self._layers:
            raise HostCallError("no storage transaction is open")
        for key, remembered in self._layers.pop().items():
            if isinstance(remembered, _Absent):
                del self._writes[key]
                del self._sorted[bisect_left(self._sorted, key)]
            else:
                self._writes[key] = remembered
            self._applied = None

    def applied(self) -> Trie:
        """The state with the writes in it."""
        if self._applied is None:
            self._applied = self.base.updated(self._writes)
        return self._applied
