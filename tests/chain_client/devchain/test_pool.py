"""The pool: order, tags, replacement, bounds, bans; and against a naive twin."""

from dataclasses import dataclass, field

import pytest
from devchain_tools import Clock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chain_client.devchain.errors import (
    AlreadyImported,
    CycleDetected,
    ImmediatelyDropped,
    PoolError,
    TemporarilyBanned,
    TooLowPriority,
)
from chain_client.devchain.hashing import blake2_256
from chain_client.devchain.pool import Pool, PoolEvent, PoolLimits, Status
from chain_client.devchain.validity import ValidTransaction


def _valid(priority: int = 1, requires: str = "", provides: str = "", longevity: int = 64) -> ValidTransaction:
    tags = [tuple(tag.encode() for tag in text.split()) for text in (requires, provides)]
    return ValidTransaction(priority, tags[0], tags[1], longevity, True)


@dataclass
class Bench:
    """A pool, its clock and what it told."""

    limits: PoolLimits = field(default_factory=PoolLimits)
    clock: Clock = field(default_factory=Clock)
    told: list[PoolEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pool = Pool(self.limits, self.clock, self.told.append)

    def add(self, name: str, priority: int = 1, requires: str = "", provides: str = "", longevity: int = 64) -> bytes:
        return self.pool.add(name.encode(), _valid(priority, requires, provides or name, longevity), 10)

    def order(self) -> str:
        return b" ".join(self.pool.ready()).decode()

    def news(self) -> list[tuple[str, Status]]:
        names = {blake2_256(name.encode()): name for name in "abcdefgh"}
        news = [(names[event.transaction_hash], event.status) for event in self.told]
        self.told.clear()
        return news


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_priority_then_arrival_but_never_before_a_requirement(bench: Bench) -> None:
    bench.add("a", 1)
    bench.add("b", 5, requires="a")
    bench.add("c", 3)
    bench.add("d", 3)
    assert bench.order() == "c d a b"
    assert bench.pool.pending() == [b"a", b"b", b"c", b"d"]


def test_a_future_transaction_waits_for_its_tag(bench: Bench) -> None:
    bench.add("c", requires="b")
    bench.add("b", requires="a")
    assert (bench.order(), len(bench.pool), bench.pool.ready_count) == ("", 2, 0)
    bench.add("a")
    assert bench.order() == "a b c"
    ready, future = Status.READY, Status.FUTURE
    assert bench.news() == [("c", future), ("b", future), ("a", ready), ("b", ready), ("c", ready)]
    assert bench.pool.provides(b"c")


def test_a_block_provides_tags(bench: Bench) -> None:
    for name, requires in (("a", ""), ("b", "a"), ("d", "c")):
        bench.add(name, requires=requires)
    bench.pool.included([b"a", b"unknown"], b"B" * 32, 11)
    assert bench.order() == "b"
    assert bench.told[-1] == PoolEvent(blake2_256(b"a"), Status.IN_BLOCK, b"B" * 32)
    bench.add("c", requires="b")
    bench.pool.included([b"b", b"c"], b"C" * 32, 12)
    assert bench.order() == "d"


def test_the_same_tag_in_a_block_makes_others_invalid(bench: Bench) -> None:
    bench.add("a", provides="nonce0")
    bench.add("b", requires="missing", provides="nonce0 x")
    bench.add("c", requires="x", provides="y")
    bench.news()
    bench.pool.included([b"a"], b"B" * 32, 11)
    assert bench.news() == [("a", Status.IN_BLOCK), ("b", Status.INVALID)]
    assert len(bench.pool) == 1


def test_replacing_needs_a_higher_priority(bench: Bench) -> None:
    bench.add("a", 5, provides="n0")
    bench.add("b", 9, requires="n0", provides="n1")
    with pytest.raises(TooLowPriority) as error:
        bench.add("c", 5, provides="n0")
    assert error.value.code == 1014
    bench.news()
    bench.add("d", 6, provides="n0")
    assert bench.news() == [("d", Status.READY), ("a", Status.USURPED)]
    assert bench.order() == "d b"


def test_replacing_only_a_part_sends_followers_back(bench: Bench) -> None:
    bench.add("a", 1, provides="x y")
    bench.add("b", 1, requires="y")
    bench.news()
    bench.add("c", 2, provides="x")
    assert bench.news() == [("c", Status.READY), ("a", Status.USURPED), ("b", Status.FUTURE)]
    bench.add("d", 1, provides="y")
    assert bench.order() == "c d b"


def test_a_promoted_transaction_must_win_its_tag_too(bench: Bench) -> None:
    bench.add("a", 1, requires="t", provides="n")
    bench.add("b", 1, provides="n")
    bench.news()
    bench.add("c", provides="t")
    assert bench.news() == [("c", Status.READY), ("a", Status.USURPED)]
    bench.add("d", 7, requires="u", provides="n")
    bench.add("e", provides="u")
    assert bench.order() == "e d c" or bench.order() == "c e d"


def test_a_cycle_is_refused(bench: Bench) -> None:
    bench.add("a", 1, provides="x")
    bench.add("b", 1, requires="x", provides="y")
    with pytest.raises(CycleDetected):
        bench.add("c", 9, requires="y x", provides="x")
    with pytest.raises(CycleDetected):
        bench.add("d", 9, requires="y", provides="x")
    bench.add("e", 9, requires="z", provides="z")
    assert bench.order() == "a b"


def test_removing_bans_and_sends_followers_back(bench: Bench) -> None:
    bench.add("a")
    bench.add("b", requires="a")
    bench.add("c", requires="b")
    bench.news()
    bench.pool.remove(b"a")
    assert bench.news() == [("a", Status.INVALID), ("b", Status.FUTURE), ("c", Status.FUTURE)]
    with pytest.raises(TemporarilyBanned, match="1800 more seconds"):
        bench.add("a")
    bench.clock.now_ms += bench.limits.ban_ms
    bench.add("a")
    assert bench.order() == "a b c"


def test_known_transactions_are_refused(bench: Bench) -> None:
    bench.add("a")
    bench.add("b", requires="z")
    for name in "ab":
        with pytest.raises(AlreadyImported) as error:
            bench.add(name)
        assert error.value.code == 1013


def test_longevity_ends(bench: Bench) -> None:
    bench.add("a", longevity=2)
    bench.add("b", requires="a", longevity=5)
    bench.pool.included([], b"", 12)
    assert bench.order() == "a b"
    bench.pool.included([], b"", 13)
    assert (bench.order(), len(bench.pool)) == ("", 1)
    assert bench.news()[-2:] == [("a", Status.INVALID), ("b", Status.FUTURE)]
    bench.add("a")  # not banned: a new validation gave it a new life


def test_a_full_pool_keeps_the_better_ones() -> None:
    bench = Bench(PoolLimits(ready_count=2, future_count=1))
    bench.add("a", 2)
    bench.add("b", 3)
    with pytest.raises(ImmediatelyDropped):
        bench.add("c", 2)
    bench.add("d", 5)
    assert bench.order() == "d b"
    bench.add("e", 1, requires="z")
    bench.add("f", 2, requires="z")
    with pytest.raises(ImmediatelyDropped):
        bench.add("g", 1, requires="z")
    assert len(bench.pool) == 3


def test_bytes_are_bounded_too() -> None:
    bench = Bench(PoolLimits(ready_bytes=2))
    bench.add("a")
    bench.add("b")
    with pytest.raises(ImmediatelyDropped):
        bench.add("c")


def test_bans_are_bounded() -> None:
    bench = Bench(PoolLimits(banned_count=2))
    for name in "abc":
        bench.pool.remove(name.encode())
    bench.add("a")
    with pytest.raises(TemporarilyBanned):
        bench.add("b")


class PoolMachine(RuleBasedStateMachine):
    """Random traffic over few tags; after every step the queues are what their definition says."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(PoolLimits(ready_count=6, future_count=4))
        self.known: dict[bytes, ValidTransaction] = {}
        self.provided: set[bytes] = set()
        self.number = 10

    _TAGS = st.lists(st.sampled_from("rstuv"), max_size=2, unique=True).map(" ".join)

    @rule(priority=st.integers(0, 4), requires=_TAGS, provides=_TAGS, longevity=st.integers(1, 6))
    def add(self, priority: int, requires: str, provides: str, longevity: int) -> None:
        name = f"t{len(self.known)}"
        validity = _valid(priority, requires, f"{provides} own-{name}", longevity)
        self.known[name.encode()] = validity
        try:
            self.bench.pool.add(name.encode(), validity, self.number)
        except PoolError:
            self.bench.told.clear()

    @rule(count=st.integers(0, 3))
    def block(self, count: int) -> None:
        taken = [transaction for transaction, _ in zip(self.bench.pool.ready(), range(count), strict=False)]
        self.number += 1
        self.bench.pool.included(taken, b"B", self.number)

    @rule(at=st.integers(0, 5))
    def remove(self, at: int) -> None:
        for transaction in self.bench.pool.pending()[at : at + 1]:
            self.bench.pool.remove(transaction)

    @invariant()
    def queues_are_what_they_should_be(self) -> None:
        pool = self.bench.pool
        ready = list(pool.ready())
        assert sorted(ready) == sorted(pool.pending())
        tags = [tag for transaction in ready for tag in self.known[transaction].provides]
        assert len(tags) == len(set(tags)), "one provider for a tag"
        for tag in tags:
            assert pool.provides(tag)
        seen: set[bytes] = set()
        for transaction in ready:
            entry = pool._ready.entries[blake2_256(transaction)]
            assert entry.waits <= seen, "what it requires stands before it"
            seen.update(entry.validity.provides)
        for entry in pool._future.entries.values():
            assert not entry.waits <= seen, "a future transaction lacks a tag"
        for queue, most in ((pool._ready, 6), (pool._future, 4)):
            assert len(queue.entries) <= most
            assert queue.size == sum(len(entry.transaction) for entry in queue.entries.values())
        waiting = {
            (tag, entry.hash)
            for queue in (pool._ready, pool._future)
            for entry in queue.entries.values()
            for tag in entry.waits
        }
        assert waiting == {(tag, key) for tag, keys in pool._waiting.items() for key in keys}


PoolMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestPool = PoolMachine.TestCase
