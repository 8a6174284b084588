from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.wire.limits import Buckets, Budget, Pace, TokenBucket

rates = st.floats(0.01, 1000)
bursts = st.integers(1, 50)
gaps = st.lists(st.floats(0, 10), max_size=80)


@given(rates, bursts, gaps)
def test_no_stretch_of_time_gives_more_than_the_burst_and_the_rate(per_s: float, burst: int, gaps: list[float]) -> None:
    now_s, taken_at = 1e6, []
    bucket = TokenBucket(per_s, burst, now_s)
    for gap in gaps:
        now_s += gap
        if bucket.take(now_s):
            taken_at.append(now_s)
    for first in range(len(taken_at)):
        for last in range(first, len(taken_at)):
            allowed = burst + per_s * (taken_at[last] - taken_at[first])
            assert last - first + 1 <= allowed + 1e-3


@given(rates, bursts, st.integers(0, 60))
def test_whoever_waits_as_long_as_told_gets_one(per_s: float, burst: int, asked: int) -> None:
    bucket = TokenBucket(per_s, burst, 1000.0)
    for _ in range(asked):
        bucket.take(1000.0)
    assert bucket.take(1000.0 + bucket.wait_s(1000.0))


def test_there_is_no_wait_while_there_are_some() -> None:
    assert TokenBucket(1.0, 3, 0.0).wait_s(0.0) == 0.0


def test_a_clock_that_runs_backwards_gives_nothing_and_breaks_nothing() -> None:
    bucket = TokenBucket(1.0, 1, 100.0)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
    assert not bucket.take(100.5)
    assert bucket.take(101.0)


@pytest.mark.parametrize(("per_s", "burst"), [(0.0, 1), (-1.0, 1), (1.0, 0)])
def test_a_bucket_that_never_gives_anything_is_refused(per_s: float, burst: float) -> None:
    with pytest.raises(ValueError, match="positive rate"):
        TokenBucket(per_s, burst, 0.0)


def test_each_key_has_a_bucket_of_its_own_and_old_ones_are_forgotten() -> None:
    buckets = Buckets(1.0, 1, remembered_max=2)
    assert buckets.of("a", 0.0).take(0.0)
    assert not buckets.of("a", 0.0).take(0.0)
    assert buckets.of("b", 0.0).take(0.0)
    buckets.of("a", 0.0)  # used last, so "b" is the one to go
    buckets.of("c", 0.0)
    assert not buckets.of("a", 0.0).take(0.0)
    assert buckets.of("b", 0.0).take(0.0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 8), st.booleans()), max_size=60))
def test_a_budget_counts_as_a_plain_list_does(events: list[tuple[str, int, bool]]) -> None:
    budget, held = Budget(12, 7), list[tuple[str, int]]()
    for holder, n, takes in events:
        if takes:
            mine = sum(m for name, m in held if name == holder)
            room = mine + n <= 7 and budget.total + n <= 12
            assert budget.take(holder, n) is room
            held += [(holder, n)] if room else []
        elif held:
            budget.give_back(*held.pop(0))
        assert budget.total == sum(n for _, n in held)


def test_a_budget_never_gets_back_more_than_it_gave() -> None:
    budget = Budget(10, 10)
    assert budget.take("a", 3)
    with pytest.raises(ValueError, match="more is given back"):
        budget.give_back("a", 4)
    with pytest.raises(ValueError, match="more is given back"):
        budget.give_back("b", 1)


@pytest.mark.parametrize(("total", "each"), [(0, 0), (10, 0), (10, 11)])
def test_a_budget_that_cannot_work_is_refused(total: int, each: int) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(total, each)


def test_a_pace_allows_a_hiccup_and_then_a_rate() -> None:
    pace = Pace(grace_s=30.0, bytes_s_min=100)
    assert pace.deadline_s(5.0, 5.0, 0) == 35.0
    assert pace.deadline_s(5.0, 30.0, 1000) == 45.0
    assert pace.deadline_s(5.0, 6.0, 1_000_000) == 36.0


@pytest.mark.parametrize(("grace_s", "bytes_s_min"), [(0.0, 1), (1.0, 0)])
def test_a_pace_without_time_is_refused(grace_s: float, bytes_s_min: int) -> None:
    with pytest.raises(ValueError, match="pace"):
        Pace(grace_s, bytes_s_min)
