"""Who does not take his answers is found out; who is slow and steady is not. In virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.server.outbox import WriteWatch
from compute.wire.limits import Pace

PACE = Pace(grace_s=30.0, bytes_s_min=100)


@pytest.fixture
def watch() -> WriteWatch:
    return WriteWatch(10.0, PACE)


def test_nothing_is_due_while_nothing_waits(watch: WriteWatch) -> None:
    assert watch.deadline is None
    watch.wrote(1000)
    watch.note(0, 5.0)
    assert watch.deadline is None


def test_a_client_that_takes_nothing_has_the_stall_time(watch: WriteWatch) -> None:
    watch.wrote(1000)
    watch.note(1000, 5.0)
    assert watch.deadline == 15.0
    watch.note(1000, 12.0)
    assert watch.deadline == 15.0
    watch.note(900, 14.0)
    assert watch.deadline == 24.0


def test_more_that_is_written_is_nothing_taken(watch: WriteWatch) -> None:
    watch.wrote(1000)
    watch.note(1000, 5.0)
    watch.wrote(500)
    watch.note(1500, 12.0)
    assert watch.deadline == 15.0


def test_a_byte_now_and_then_is_not_enough(watch: WriteWatch) -> None:
    watch.wrote(10_000)
    now, unsent = 0.0, 10_000
    watch.note(unsent, now)
    while watch.deadline is not None and now < watch.deadline:
        now, unsent = now + 5.0, unsent - 1
        watch.note(unsent, now)
    assert 30.0 <= now <= 40.0


def test_a_stream_that_was_empty_starts_afresh(watch: WriteWatch) -> None:
    watch.wrote(1000)
    watch.note(1000, 0.0)
    watch.note(0, 9.0)
    watch.wrote(1000)
    watch.note(1000, 100.0)
    assert watch.deadline == 110.0


@given(st.lists(st.floats(0.1, 9.0), min_size=1, max_size=40))
def test_whoever_keeps_the_pace_is_never_late(gaps: list[float]) -> None:
    watch, now, unsent = WriteWatch(10.0, PACE), 0.0, 1 << 20
    watch.wrote(unsent)
    watch.note(unsent, now)
    for gap in gaps:
        now += gap
        assert watch.deadline is not None
        assert now < watch.deadline
        unsent -= int(gap * PACE.bytes_s_min) + 1
        watch.note(unsent, now)
