from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.wire.limits import TokenBucket

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
