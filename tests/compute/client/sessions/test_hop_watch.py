"""When silence is the end of a hop, told only by numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.client.contracts import HopTimes
from compute.client.hop_watch import HopWatch, Silence

TIMES = HopTimes(ack_timeout_s=0.5, slack_s=0.25, step_timeout_s=100.0, keepalive_s=5.0, upload_bytes_s=1000.0)
RTT_S = 0.125


@pytest.fixture
def watch() -> HopWatch:
    opened = HopWatch(TIMES, RTT_S, 0.0)
    opened.opened(0.0, heartbeat_s=0.5)
    return opened


def test_nothing_is_watched_before_the_session_is_open() -> None:
    watch = HopWatch(TIMES, RTT_S, 0.0)
    watch.beat(1.0)
    assert watch.deadline_s == math.inf


def test_a_step_has_its_upload_and_the_round_trip_to_be_acknowledged(watch: HopWatch) -> None:
    watch.step_sent(10.0, n_bytes=2000)
    assert watch.deadline_s == 10.0 + 0.5 + RTT_S + 2.0
    assert watch.on_deadline(watch.deadline_s) is Silence.UNHEARD


def test_only_beats_after_the_acknowledgement_prolong_the_wait(watch: HopWatch) -> None:
    watch.step_sent(10.0, n_bytes=0)
    until_s = watch.deadline_s
    watch.beat(10.25)
    assert watch.deadline_s == until_s
    watch.step_acked(10.5)
    assert watch.deadline_s == 10.5 + 2 * 0.5 + 0.25 + RTT_S
    watch.beat(11.0)
    assert watch.deadline_s == 11.0 + 2 * 0.5 + 0.25 + RTT_S
    assert watch.on_deadline(watch.deadline_s) is Silence.HUNG


def test_beats_do_not_carry_a_step_beyond_its_longest_time(watch: HopWatch) -> None:
    watch.step_sent(10.0, n_bytes=0)
    watch.step_acked(10.0)
    watch.beat(109.5)
    assert watch.deadline_s == 110.0
    assert watch.on_deadline(110.0).is_end


def test_an_announced_heartbeat_is_believed_up_to_two_seconds() -> None:
    watch = HopWatch(TIMES, RTT_S, 0.0)
    watch.opened(0.0, heartbeat_s=3600.0)
    watch.step_sent(0.0, n_bytes=0)
    watch.step_acked(0.0)
    assert watch.deadline_s == 2 * 2.0 + 0.25 + RTT_S


def test_an_idle_hop_is_asked_for_a_sign_and_given_up_after_three_without(watch: HopWatch) -> None:
    seen = []
    while not seen or not seen[-1].is_end:
        seen.append(watch.on_deadline(watch.deadline_s))
    assert seen == [Silence.IDLE, Silence.IDLE, Silence.IDLE, Silence.GONE]
    watch.heard(watch.deadline_s)
    assert watch.on_deadline(watch.deadline_s) is Silence.IDLE


def test_a_late_timer_asks_once_more(watch: HopWatch) -> None:
    watch.step_sent(0.0, n_bytes=0)
    late_s = watch.deadline_s + 3.0
    assert watch.on_deadline(late_s) is Silence.NOTHING
    assert watch.deadline_s == late_s + 0.25
    assert watch.on_deadline(watch.deadline_s) is Silence.UNHEARD


EVENTS = st.sampled_from(["sent", "acked", "beat", "over", "heard", "deadline"])


@given(st.lists(st.tuples(EVENTS, st.floats(0.0, 3.0)), max_size=40))
def test_whatever_happens_there_is_a_deadline_and_it_is_bounded(events: list[tuple[str, float]]) -> None:
    watch = HopWatch(TIMES, RTT_S, 0.0)
    watch.opened(0.0, heartbeat_s=0.5)
    now_s = 0.0
    for event, wait_s in events:
        now_s = min(now_s + wait_s, watch.deadline_s)
        match event:
            case "sent":
                watch.step_sent(now_s, n_bytes=100)
                assert watch.awaits_ack
            case "acked" if watch.awaits_ack:
                watch.step_acked(now_s)
            case "beat":
                watch.beat(now_s)
            case "over":
                watch.step_over(now_s)
            case "heard":
                watch.heard(now_s)
            case "deadline":
                now_s = watch.deadline_s
                if watch.on_deadline(now_s).is_end:
                    return
        assert now_s <= watch.deadline_s <= now_s + TIMES.keepalive_s
