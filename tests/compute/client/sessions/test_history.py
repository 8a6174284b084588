"""The history against a naive twin that copies everything, and its memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.client.history import History
from compute.errors import BadRequest
from compute.types import Row

WIDTH = 3


def values(start: int, n: int) -> torch.Tensor:
    return torch.arange(start, start + n, dtype=torch.float32)[:, None].expand(n, WIDTH)


def held(history: History, boundary: int) -> list[list[float]]:
    return [history.read(boundary, lane)[:, 0].tolist() for lane in history.lanes]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_life_gives_what_copying_everything_gives(data: Any) -> None:
    n_lanes = data.draw(st.integers(1, 3))
    history = History(WIDTH, n_lanes)
    naive: list[list[float]] = [[] for _ in range(n_lanes)]
    fresh = 0
    for _ in range(data.draw(st.integers(1, 12))):
        fork = tuple(data.draw(st.lists(st.integers(0, len(naive) - 1), max_size=4)))
        after = [list(naive[source]) for source in fork] if fork else [list(lane) for lane in naive]
        rows = []
        for lane, tokens in enumerate(after):
            if data.draw(st.booleans()):
                position = data.draw(st.integers(0, len(tokens)))
                rows.append(Row(lane, position, data.draw(st.sampled_from([0, 1, 2, 90]))))
        draft = history.draft(rows, fork)
        for boundary in (0, 4):
            history.write(boundary, draft, values(fresh, draft.n_tokens) + 1000 * boundary)
        if data.draw(st.booleans()):
            for row in rows:
                after[row.lane][row.position :] = [float(v) for v in range(fresh, fresh + row.n_tokens)]
                fresh += row.n_tokens
            history.commit(draft)
            naive = after
            history.compact()
        assert history.lengths == tuple(map(len, naive))
        if 0 in history.boundaries:
            assert held(history, 0) == naive
            assert held(history, 4) == [[v + 4000 for v in lane] for lane in naive]


def test_beams_that_part_for_ever_keep_memory_in_proportion_to_what_is_held() -> None:
    history = History(WIDTH, 1)
    draft = history.draft([Row(0, 0, 10)])
    history.write(0, draft, values(0, 10))
    history.commit(draft)
    for step in range(2000):
        draft = history.draft([Row(lane, 10, 1) for lane in range(4)], (0,) * 4)
        history.write(0, draft, values(step, 4))
        history.commit(draft)
        for lane in range(4):
            history.truncate(lane, 10)
        history.compact()
    assert history.nbytes <= 1024 * WIDTH * 4


def test_growing_copies_only_now_and_then() -> None:
    history = History(WIDTH, 1)
    places = set()
    for position in range(5000):
        draft = history.draft([Row(0, position, 1)])
        history.write(0, draft, values(position, 1))
        history.commit(draft)
        history.compact()
        places.add(history._arenas[0].data_ptr())
    assert len(places) <= 6
    assert held(history, 0) == [[float(i) for i in range(5000)]]


def test_a_dropped_draft_leaves_nothing_behind() -> None:
    history = History(WIDTH, 1)
    first = history.draft([Row(0, 0, 2)])
    history.write(0, first, values(0, 2))
    history.commit(first)
    history.write(0, history.draft([Row(0, 0, 300)]), values(50, 300))
    assert held(history, 0) == [[0.0, 1.0]]
    again = history.draft([Row(0, 2, 1)])
    history.write(0, again, values(7, 1))
    history.commit(again)
    assert held(history, 0) == [[0.0, 1.0, 7.0]]


def test_a_new_boundary_is_filled_for_the_tokens_that_are_held() -> None:
    history = History(WIDTH, 2)
    draft = history.draft([Row(0, 0, 2), Row(1, 0, 1)])
    history.write(0, draft, values(0, 3))
    history.commit(draft)
    for lane in history.lanes:
        history.fill(5, lane, history.read(0, lane) * 10)
    history.keep_only({5})
    assert history.boundaries == {5}
    assert held(history, 5) == [[0.0, 10.0], [20.0]]


@pytest.mark.parametrize(
    ("rows", "fork"),
    [
        ((Row(0, 3, 1),), ()),
        ((Row(2, 0, 1),), ()),
        ((Row(1, 0, 1), Row(0, 0, 1)), ()),
        ((Row(0, 0, -1),), ()),
        ((Row(0, -1, 1),), ()),
        ((), (2,)),
        ((), (-1,)),
    ],
)
def test_steps_that_do_not_fit_are_refused(rows: tuple[Row, ...], fork: tuple[int, ...]) -> None:
    history = History(WIDTH, 2)
    draft = history.draft([Row(0, 0, 2)])
    history.write(0, draft, values(0, 2))
    history.commit(draft)
    with pytest.raises(BadRequest):
        history.draft(rows, fork)


def test_rolling_back_beyond_a_lane_is_refused() -> None:
    with pytest.raises(BadRequest):
        History(WIDTH, 1).truncate(0, 1)
