"""Lanes against a naive twin: lists of numbers. Whatever is done, contents, lengths and the bytes paid for agree."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from compute.runner.cache import CacheShape, LaneCache
from compute.runner.fingerprint import CHUNK_TOKENS, Fingerprint
from compute.runner.pool import CachePool, Segment

SHAPE = CacheShape(blocks=1, kv_heads=1, head_dim=1, dtype=torch.float32, device=torch.device("cpu"))
BUDGET_TOKENS = 4000


@dataclass
class Twin:
    """A lane and what it should hold; `before` while a step runs."""

    lane: LaneCache
    tokens: list[float] = field(default_factory=list)
    before: list[float] | None = None
    known: Fingerprint = ()
    left: int = 0


def _fingerprint(tokens: list[float]) -> Fingerprint:
    """One that cannot be mistaken for another's."""
    return tuple(
        repr(tokens[: i + CHUNK_TOKENS]).encode() for i in range(0, len(tokens) - CHUNK_TOKENS + 1, CHUNK_TOKENS)
    )


def _contents(lane: LaneCache) -> list[float]:
    pieces = [views[0].flatten() for views in lane.shared_views()]
    if lane._tail is not None:
        pieces.append(lane.views(0)[0].flatten())
    return torch.cat(pieces).tolist() if pieces else []


class LaneMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pool = CachePool(BUDGET_TOKENS * SHAPE.bytes_per_token)
        self.twins: list[Twin] = [Twin(LaneCache(SHAPE, self.pool))]
        self.next_value = 0.0

    def pick(self, data: st.DataObject, running: bool) -> Twin:
        return data.draw(st.sampled_from([t for t in self.twins if (t.before is not None) is running]))

    @precondition(lambda self: any(t.before is None for t in self.twins))
    @rule(data=st.data(), back=st.sampled_from([0, 0, 0, 1, 5, 70, 10_000]), n=st.sampled_from([0, 1, 1, 1, 40, 300]))
    def begin(self, data: st.DataObject, back: int, n: int) -> None:
        twin = self.pick(data, running=False)
        position = max(0, len(twin.tokens) - back)
        used = self.pool.bytes_used
        twin.known = twin.lane.fingerprint
        if twin.lane.begin(position, n):
            twin.before, twin.tokens, twin.left = twin.tokens, twin.tokens[:position], n
        else:
            assert self.pool.bytes_used == used
            assert twin.lane.length == len(twin.tokens)

    @precondition(lambda self: any(t.before is not None for t in self.twins))
    @rule(data=st.data(), share=st.sampled_from([0.3, 1.0]))
    def write(self, data: st.DataObject, share: float) -> None:
        twin = self.pick(data, running=True)
        n = min(twin.left, round(twin.left * share + 0.5))
        if n == 0:
            return
        values = [self.next_value + i for i in range(n)]
        self.next_value += n
        twin.lane.grow()
        twin.lane.slots(n)[0].copy_(torch.tensor(values)[None, :, None])
        twin.lane.commit(n)
        twin.tokens, twin.left = twin.tokens + values, twin.left - n

    @precondition(lambda self: any(t.before is not None for t in self.twins))
    @rule(data=st.data(), keep=st.booleans())
    def end(self, data: st.DataObject, keep: bool) -> None:
        twin = self.pick(data, running=True)
        if keep and twin.left == 0:
            twin.lane.keep()
            twin.lane.fingerprint = _fingerprint(twin.tokens)
        else:
            twin.lane.undo()
            assert twin.before is not None
            twin.tokens = twin.before
            assert twin.lane.fingerprint == twin.known
        twin.before, twin.left = None, 0

    @precondition(lambda self: len(self.twins) < 6 and any(t.before is None for t in self.twins))
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        twin = self.pick(data, running=False)
        twin.lane.share()
        used = self.pool.bytes_used
        if (lane := twin.lane.fork()) is not None:
            self.twins.append(Twin(lane, list(twin.tokens)))
        else:
            assert self.pool.bytes_used == used

    @precondition(lambda self: len(self.twins) < 6 and any(t.before is None and t.tokens for t in self.twins))
    @rule(data=st.data(), part=st.floats(0, 1), meanwhile=st.sampled_from(["nothing", "begin", "free"]))
    def rebase(self, data: st.DataObject, part: float, meanwhile: str) -> None:
        """A lane and a new one go on from a copy of what it begins with, unless it changes while that is copied."""
        twin = self.pick(data, running=False)
        n_tokens = max(1, round(part * len(twin.tokens)))
        paid = n_tokens * SHAPE.bytes_per_token
        if not twin.lane.can_rebase(n_tokens) or not self.pool.take(paid):
            return
        head = Segment(torch.cat(twin.lane.prefix_views(n_tokens), 2), n_tokens, paid, self.pool).hold()
        if (rebase := twin.lane.begin_rebase(n_tokens)) is not None:
            rebase.copy()
            if meanwhile == "free":
                twin.lane.free()
                twin.tokens = []
            elif meanwhile == "begin" and twin.lane.begin(len(twin.tokens), 1):
                twin.before, twin.left, twin.known = twin.tokens, 1, twin.lane.fingerprint
            assert twin.lane.end_rebase(rebase, head) is (meanwhile == "nothing" or twin.lane.can_rebase(n_tokens))
        head.let_go()

    @precondition(lambda self: len(self.twins) > 1)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        twin = data.draw(st.sampled_from(self.twins))
        twin.lane.free()
        twin.lane.free()
        self.twins.remove(twin)

    @invariant()
    def contents_agree(self) -> None:
        for twin in self.twins:
            assert twin.lane.length == len(twin.tokens)
            assert _contents(twin.lane) == twin.tokens
            assert twin.lane.fingerprint == _fingerprint(twin.tokens)[: len(twin.lane.fingerprint)]

    @invariant()
    def every_byte_is_paid_once(self) -> None:
        segments = {id(s): s for twin in self.twins for s in twin.lane.segments}
        held = sum(twin.lane.bytes_paid for twin in self.twins) + sum(s.paid for s in segments.values())
        assert held == self.pool.bytes_used <= self.pool.bytes_max

    def teardown(self) -> None:
        for twin in self.twins:
            twin.lane.free()
        assert self.pool.bytes_used == 0


TestLanes = LaneMachine.TestCase
TestLanes.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def _grown(pool: CachePool, tokens: int) -> LaneCache:
    lane = LaneCache(SHAPE, pool)
    assert lane.reserve(0, tokens)
    lane.grow()
    lane.commit(tokens)
    return lane


def test_a_lane_takes_little_more_than_its_tokens_and_nothing_for_a_maximum() -> None:
    pool = CachePool(1 << 40)
    _grown(pool, 1000)
    assert 1000 * SHAPE.bytes_per_token <= pool.bytes_used <= 1.4 * 1000 * SHAPE.bytes_per_token


def test_a_lane_that_grows_by_single_tokens_is_seldom_copied() -> None:
    lane = LaneCache(SHAPE, CachePool(1 << 40))
    buffers = set()
    for _ in range(2000):
        assert lane.begin(lane.length, 1)
        lane.grow()
        lane.commit(1)
        lane.keep()
        buffers.add(lane.views(0)[0].data_ptr())
    assert len(buffers) < 20


def test_a_short_prefix_is_copied_and_a_long_one_shared() -> None:
    pool = CachePool(1 << 40)
    for tokens, shared in ((20, False), (600, True)):
        lane = _grown(pool, tokens)
        lane.share()
        twin = lane.fork()
        assert twin is not None
        assert bool(twin.segments) is shared
        assert twin.segments == lane.segments


def test_a_lane_that_forks_all_the_time_stays_in_few_pieces() -> None:
    pool = CachePool(1 << 40)
    lane = _grown(pool, 64)
    for _ in range(2000):
        assert lane.begin(lane.length, 1)
        lane.grow()
        lane.commit(1)
        lane.keep()
        lane.share()
        twin = lane.fork()
        assert twin is not None
        lane.free()
        lane = twin
    assert len(lane.segments) < 12


def test_more_given_back_than_taken_is_noticed() -> None:
    with pytest.raises(AssertionError, match="more cache"):
        CachePool(10).give_back(1)
