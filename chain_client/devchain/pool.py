"""The transaction pool: which transactions may go into the next block, and in which order.

Pure: it knows neither the chain nor a clock but those that it is handed. A transaction names tags that it provides and
tags that must be provided before it (an account and its nonce, for instance). It is *ready* when every required tag is
provided by a ready transaction or was provided by a block, else it waits as *future*. Among ready ones the highest
priority goes first, the earlier one at equal priority, but never before what it requires.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from chain_client.devchain.errors import (
    AlreadyImported,
    CycleDetected,
    ImmediatelyDropped,
    TemporarilyBanned,
    TooLowPriority,
)
from chain_client.devchain.hashing import blake2_256
from chain_client.devchain.validity import ValidTransaction


class Status(Enum):
    """What happened to a transaction; values are those of `author_extrinsicUpdate`."""

    FUTURE = "future"
    READY = "ready"
    IN_BLOCK = "inBlock"
    FINALISED = "finalized"
    USURPED = "usurped"
    DROPPED = "dropped"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """`other` is the block (IN_BLOCK, FINALISED) or the transaction (USURPED) that did it, else empty."""

    transaction_hash: bytes
    status: Status
    other: bytes = b""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Bounds of the pool; counts of transactions and sums of their lengths."""

    ready_count: int = 8192
    ready_bytes: int = 20 << 20
    future_count: int = 512
    future_bytes: int = 1 << 20
    ban_ms: int = 30 * 60 * 1000
    """How long a transaction that failed is refused: as many nodes do, long enough to stop a client that repeats."""
    banned_count: int = 2 * (8192 + 512)


@dataclass(slots=True)
class _Entry:
    hash: bytes
    transaction: bytes
    validity: ValidTransaction
    arrival: int
    valid_until: int
    waits: set[bytes] = field(default_factory=set)
    """Required tags that no block has provided."""

    @property
    def worth(self) -> tuple[int, int]:
        """The greatest goes first into a block, the least goes first out of a full pool."""
        return self.validity.priority, -self.arrival


class _Queue:
    """Ready or future transactions, with their number and size bounded."""

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self.entries: dict[bytes, _Entry] = {}
        self.size = 0
        self._count_max, self._bytes_max = count_max, bytes_max

    def put(self, entry: _Entry) -> None:
        self.entries[entry.hash] = entry
        self.size += len(entry.transaction)

    def pop(self, entry: _Entry) -> None:
        del self.entries[entry.hash]
        self.size -= len(entry.transaction)

    def worst_if_full(self) -> _Entry | None:
        """What must go, None when everything fits."""
        if len(self.entries) <= self._count_max and self.size <= self._bytes_max:
            return None
        return min(self.entries.values(), key=lambda entry: entry.worth)


class Pool:
    """See the module. `clock` gives milliseconds; `tell` hears of every change, in order."""

    def __init__(
        self, limits: PoolLimits, clock: Callable[[], int], tell: Callable[[PoolEvent], None] = lambda _: None
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._tell = tell
        self._arrivals = 0
        self._ready = _Queue(limits.ready_count, limits.ready_bytes)
        self._future = _Queue(limits.future_count, limits.future_bytes)
        self._providers: dict[bytes, bytes] = {}
        """Tag -> hash of the ready transaction that provides it."""
        self._waiting: defaultdict[bytes, dict[bytes, None]] = defaultdict(dict)
        """Tag -> hashes (an ordered set) of the transactions, ready or future, that still need it."""
        self._banned: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._ready.entries) + len(self._future.entries)

    @property
    def ready_count(self) -> int:
        """How many could go into a block."""
        return len(self._ready.entries)

    def pending(self) -> list[bytes]:
        """All ready transactions, in the order of their arrival."""
        return [entry.transaction for entry in sorted(self._ready.entries.values(), key=lambda entry: entry.arrival)]

    def provides(self, tag: bytes) -> bool:
        """Does a ready transaction provide `tag`?"""
        return tag in self._providers

    def check(self, transaction: bytes) -> bytes:
        """The hash of a transaction that is worth validating. Raises `AlreadyImported`, `TemporarilyBanned`."""
        key = blake2_256(transaction)
        if self._entry(key) is not None:
            raise AlreadyImported(f"0x{key.hex()}")
        until = self._banned.get(key)
        if until is not None:
            if until > self._clock():
                raise TemporarilyBanned(f"for {(until - self._clock() + 999) // 1000} more seconds")
            del self._banned[key]
        return key

    def add(self, transaction: bytes, validity: ValidTransaction, number: int) -> bytes:
        """Take a transaction that is valid upon block `number`; its hash.

        Raises what `check` raises, `TooLowPriority`, `CycleDetected`, `ImmediatelyDropped`.
        """
        key = self.check(transaction)
        self._arrivals += 1
        entry = _Entry(key, transaction, validity, self._arrivals, number + validity.longevity, set(validity.requires))
        if self._unmet(entry):
            self._put_future(entry)
        else:
            usurped = self._usurped(entry)
            if self._depends_on(entry, usurped):
                raise CycleDetected("it depends on a transaction that it would replace")
            if any(old.validity.priority >= validity.priority for old in usurped):
                most = max(old.validity.priority for old in usurped)
                raise TooLowPriority(f"{validity.priority}, another transaction has {most}")
            self._put_ready(entry, usurped)
        self._enforce_limits()
        if self._entry(key) is None:
            raise ImmediatelyDropped("the pool is full and all others have a higher priority")
        return key

    def ready(self) -> Iterator[bytes]:
        """Ready transactions in the order for a block, as of now."""
        ready = self._ready.entries
        missing = {key: {self._providers[tag] for tag in entry.waits} for key, entry in ready.items()}
        heap = [(-entry.validity.priority, entry.arrival, entry) for key, entry in ready.items() if not missing[key]]
        heapq.heapify(heap)
        while heap:
            entry = heapq.heappop(heap)[2]
            yield entry.transaction
            for tag in entry.validity.provides:
                for key in self._waiting.get(tag, ()):
                    if key in missing and entry.hash in missing[key]:
                        missing[key].discard(entry.hash)
                        if not missing[key]:
                            follower = ready[key]
                            heapq.heappush(heap, (-follower.validity.priority, follower.arrival, follower))

    def included(self, transactions: Iterable[bytes], block_hash: bytes, number: int) -> None:
        """Block `number` holds these transactions: they leave, who waited for their tags goes on, the expired go."""
        met: set[bytes] = set()
        for transaction in transactions:
            entry = self._entry(blake2_256(transaction))
            if entry is not None:
                self._take_out(entry)
                met.update(entry.validity.provides)
                self._tell(PoolEvent(entry.hash, Status.IN_BLOCK, block_hash))
        unmet: list[bytes] = []
        for entry in [*self._ready.entries.values(), *self._future.entries.values()]:
            # Another transaction for a tag of the block, with the same nonce for instance, can never be valid now.
            if entry.valid_until < number or not met.isdisjoint(entry.validity.provides):
                self._take_out(entry)
                self._tell(PoolEvent(entry.hash, Status.INVALID))
                unmet += entry.validity.provides
        affected = self._waiters(unmet)
        for tag in sorted(met):
            for key in self._waiting.pop(tag, {}):
                waiting = self._entry(key)
                assert waiting is not None
                waiting.waits.discard(tag)
                affected.append(key)
        self._settle(affected)
        self._enforce_limits()

    def remove(self, transaction: bytes, *, ban: bool = True) -> None:
        """A transaction turned out invalid. What required it waits for another one to provide its tags."""
        key = blake2_256(transaction)
        if ban:
            self._banned[key] = self._clock() + self._limits.ban_ms
            while len(self._banned) > self._limits.banned_count:
                del self._banned[next(iter(self._banned))]
        entry = self._entry(key)
        if entry is not None:
            self._take_out(entry)
            self._tell(PoolEvent(key, Status.INVALID))
            self._settle(self._waiters(entry.validity.provides))
            self._enforce_limits()

    def _entry(self, key: bytes) -> _Entry | None:
        return self._ready.entries.get(key) or self._future.entries.get(key)

    def _unmet(self, entry: _Entry) -> bool:
        return any(tag not in self._providers for tag in entry.waits)

    def _usurped(self, entry: _Entry) -> list[_Entry]:
        """The ready transactions that `entry` would replace."""
        keys = dict.fromkeys(self._providers[tag] for tag in entry.validity.provides if tag in self._providers)
        return [self._ready.entries[key] for key in keys]

    def _depends_on(self, entry: _Entry, others: list[_Entry]) -> bool:
        """Does `entry`, over any number of steps, require a tag of `others`?"""
        if not others:
            return False
        wanted = {other.hash for other in others}
        seen: set[bytes] = set()
        work = [self._providers[tag] for tag in entry.waits]
        while work:
            key = work.pop()
            if key in wanted:
                return True
            if key not in seen:
                seen.add(key)
                work += [self._providers[tag] for tag in self._ready.entries[key].waits]
        return False

    def _put_ready(self, entry: _Entry, usurped: list[_Entry]) -> None:
        for old in usurped:
            self._take_out(old)
        self._ready.put(entry)
        for tag in entry.waits:
            self._waiting[tag][entry.hash] = None
        for tag in entry.validity.provides:
            self._providers[tag] = entry.hash
        self._tell(PoolEvent(entry.hash, Status.READY))
        for old in usurped:
            self._tell(PoolEvent(old.hash, Status.USURPED, entry.hash))
        self._settle(self._waiters(tag for changed in (entry, *usurped) for tag in changed.validity.provides))

    def _put_future(self, entry: _Entry) -> None:
        self._future.put(entry)
        for tag in entry.waits:
            self._waiting[tag][entry.hash] = None
        self._tell(PoolEvent(entry.hash, Status.FUTURE))

    def _take_out(self, entry: _Entry) -> None:
        """Out of its queue and all indices; nobody is told."""
        if entry.hash in self._ready.entries:
            self._ready.pop(entry)
            for tag in entry.validity.provides:
                if self._providers.get(tag) == entry.hash:
                    del self._providers[tag]
        else:
            self._future.pop(entry)
        for tag in entry.waits:
            self._waiting[tag].pop(entry.hash, None)
            if not self._waiting[tag]:
                del self._waiting[tag]

    def _waiters(self, tags: Iterable[bytes]) -> list[bytes]:
        """Hashes of the transactions that still need one of `tags`."""
        return [key for tag in tags for key in self._waiting.get(tag, ())]

    def _settle(self, keys: Iterable[bytes]) -> None:
        """Move `keys`, and who waits for them, into the queue where they belong now."""
        work = list(keys)
        while work:
            entry = self._entry(work.pop())
            if entry is None or self._unmet(entry) == (entry.hash in self._future.entries):
                continue
            self._take_out(entry)
            if self._unmet(entry):
                self._put_future(entry)
            else:
                self._promote(entry)
            work += self._waiters(entry.validity.provides)

    def _promote(self, entry: _Entry) -> None:
        """A future transaction has all its tags."""
        usurped = self._usurped(entry)
        if self._depends_on(entry, usurped):
            self._tell(PoolEvent(entry.hash, Status.INVALID))
        elif any(old.validity.priority >= entry.validity.priority for old in usurped):
            self._tell(PoolEvent(entry.hash, Status.USURPED, usurped[0].hash))
        else:
            self._put_ready(entry, usurped)

    def _enforce_limits(self) -> None:
        for queue in (self._ready, self._future):
            while (worst := queue.worst_if_full()) is not None:
                self._take_out(worst)
                self._tell(PoolEvent(worst.hash, Status.DROPPED))
                self._settle(self._waiters(worst.validity.provides))
