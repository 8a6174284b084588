from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.runner.groups import DecodeGroups
from compute.types import Span

HALF, WHOLE, THIRD = Span(0, 15), Span(0, 30), Span(10, 20)


def groups_of(n_sessions: int, now_s: float = 0.0, rows: int = 1) -> DecodeGroups:
    groups = DecodeGroups(30)
    for session in range(n_sessions):
        groups.saw(session, rows, now_s)
    return groups


def test_one_provider_of_the_whole_model_takes_everything() -> None:
    assert groups_of(100).tokens_max(WHOLE, 0.0) is None
    assert groups_of(100).tokens_max(Span(0, 22), 0.0) is None


@pytest.mark.parametrize(
    ("sessions", "span", "expected"), [(8, HALF, 4), (16, HALF, 8), (17, HALF, 9), (30, THIRD, 10)]
)
def test_as_many_groups_as_hops(sessions: int, span: Span, expected: int) -> None:
    assert groups_of(sessions).tokens_max(span, 0.0) == expected


def test_few_rows_are_not_cut() -> None:
    assert groups_of(1).tokens_max(HALF, 0.0) == 4
    assert groups_of(5).tokens_max(HALF, 0.0) == 4


def test_sessions_that_stopped_or_ended_do_not_count() -> None:
    groups = groups_of(16)
    for session in range(16, 24):
        groups.saw(session, 1, 3.0)
    assert groups.tokens_max(HALF, 3.0) == 4
    groups = groups_of(16)
    for session in range(8):
        groups.forget(session)
    assert groups.tokens_max(HALF, 0.0) == 4


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 8), st.floats(0, 1)), max_size=40))
def test_the_limit_is_a_fair_share_of_what_each_session_sent_last(steps: list[tuple[int, int, float]]) -> None:
    groups, now_s, last = DecodeGroups(30), 0.0, {}
    for session, rows, pause_s in steps:
        now_s += pause_s
        groups.saw(session, rows, now_s)
        last[session] = (now_s, rows)
    around = sum(rows for seen_s, rows in last.values() if now_s - seen_s <= 2.0)
    assert groups.tokens_max(HALF, now_s) == max(4, math.ceil(around / 2))
