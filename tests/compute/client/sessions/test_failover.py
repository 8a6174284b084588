"""Whom to avoid, what to plan anew, what to replay."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.client.failover import CoolDown, Suspects, cut_rows, gap_at, opening_rows, plan_replay
from compute.types import PeerId, Row, Span

A, B = PeerId("a"), PeerId("b")


def test_each_failure_doubles_the_cool_down_until_it_is_forgiven() -> None:
    suspects = Suspects(CoolDown(first_s=5, most_s=18, forgiven_s=100))
    for now_s, wait_s in ((0.0, 5.0), (10.0, 10.0), (30.0, 18.0), (60.0, 18.0), (200.0, 5.0)):
        suspects.note_failure(A, now_s)
        assert suspects.avoided(now_s + wait_s - 0.01) == {A}
        assert suspects.avoided(now_s + wait_s) == frozenset()


def test_refusals_are_avoided_as_long_as_they_ask_and_liars_for_good() -> None:
    suspects = Suspects()
    suspects.note_refusal(A, 1.0, 2.0)
    suspects.ban(B)
    assert suspects.avoided(2.0) == {A, B}
    assert suspects.avoided(3.0) == {B} == suspects.banned()
    assert suspects.avoided(1e9) == {B}


@pytest.mark.parametrize("times", [{"first_s": 0.0}, {"first_s": 10.0, "most_s": 5.0}])
def test_senseless_cool_downs_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        CoolDown(**times)


def test_a_gap_ends_where_the_next_live_hop_begins() -> None:
    assert gap_at(0, [], 6) == Span(0, 6)
    assert gap_at(2, [Span(0, 2), Span(4, 6)], 6) == Span(2, 4)
    assert gap_at(2, [Span(0, 2), Span(5, 6), Span(3, 5)], 6) == Span(2, 3)
    assert gap_at(4, [Span(0, 2), Span(2, 4)], 6) == Span(4, 6)


Rows = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), max_size=5).map(
    lambda pairs: [Row(lane, position, n) for lane, (position, n) in enumerate(pairs)]
)


@given(rows=Rows, tokens_max=st.integers(1, 20))
def test_cut_rows_cover_every_token_once_in_order(rows: list[Row], tokens_max: int) -> None:
    steps = cut_rows(rows, tokens_max)

    def tokens(some: Any) -> list[tuple[int, int]]:
        return [(row.lane, row.position + i) for row in some for i in range(row.n_tokens)]

    assert tokens(row for step in steps for row in step) == tokens(rows)
    assert all(sum(row.n_tokens for row in step) <= tokens_max for step in steps)
    assert all([row.lane for row in step] == sorted({row.lane for row in step}) for step in steps)
    assert {row for row in rows if not row.n_tokens} <= {row for step in steps for row in step}
    assert len(steps) == max(1, -(-sum(row.n_tokens for row in rows) // tokens_max))


Lanes = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=5).map(
    lambda parts: [
        [100 * tree + i for i in range(shared)] + [1000 * (lane + 1) + i for i in range(own)]
        for lane, (tree, shared, own) in enumerate(parts)
    ]
)


@given(lanes=Lanes, tokens_max=st.integers(1, 10))
def test_a_replay_leads_from_nothing_to_the_lanes(lanes: list[list[int]], tokens_max: int) -> None:
    made: list[list[int]] = []
    replayed = 0
    for step in plan_replay(lanes, tokens_max):
        assert len(step.slots) <= tokens_max
        assert step.rows or step.fork
        if step.fork:
            made = [list(made[source]) for source in step.fork]
        slots = iter(step.slots)
        for row in step.rows:
            made.extend([] for _ in range(row.lane + 1 - len(made)))
            assert row.position == len(made[row.lane])
            made[row.lane].extend(next(slots) for _ in range(row.n_tokens))
        assert not list(slots)
        replayed += len(step.slots)
    assert made == (lanes if any(lanes) else [])
    assert replayed <= sum(map(len, lanes))


def test_what_beams_share_is_replayed_once() -> None:
    prompt = list(range(50))
    lanes = [[*prompt, 60], [*prompt, 61], [*prompt, 60, 62]]
    assert sum(len(step.slots) for step in plan_replay(lanes, 100)) == 54


def test_a_fresh_hop_is_told_of_its_highest_lane() -> None:
    assert opening_rows([Row(0, 0, 2)], 1) == (Row(0, 0, 2),)
    assert opening_rows([Row(0, 0, 2)], 3) == (Row(0, 0, 2), Row(2, 0, 0))
