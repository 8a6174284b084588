"""The session machine in virtual time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from compute.errors import BadMessage, BadRequest, CacheFull, ComputeError, Draining, Overloaded, SessionMismatch
from compute.server.decisions import (
    Abandon,
    Decisions,
    End,
    OpenEngine,
    RunStep,
    SendAck,
    SendHeartbeat,
    SendOpened,
    SendRefusal,
)
from compute.server.service_options import SessionTimes
from compute.server.session import Phase, SessionMachine
from compute.server.terms import ServedTerms
from compute.types import Codec, Row, SessionId, Span, StepHeader, WireDType
from compute.wire.codecs import EncodedTensor
from compute.wire.messages import Keepalive, SessionClose, SessionOpen, StepMessage

TIMES = SessionTimes()
Build = Callable[..., Any]


@pytest.fixture
def machine(terms: ServedTerms) -> SessionMachine:
    return SessionMachine(terms, TIMES, now=0.0)


@pytest.fixture
def idle(machine: SessionMachine, request_of: Build) -> SessionMachine:
    """A session that is open, at time 0."""
    machine.message(request_of(), 0.0)
    machine.opened(0.0)
    return machine


def kinds(decisions: Decisions) -> list[type]:
    return [type(decision) for decision in decisions]


def refusal(decisions: Decisions) -> ComputeError:
    """The error of a refusal that ends the session."""
    assert isinstance(decisions[-1], End)
    told = decisions[-2]
    assert isinstance(told, SendRefusal)
    return told.error


# ---------------------------------------------------------------- a good life


def test_a_session_opens_steps_and_closes(machine: SessionMachine, request_of: Build, step_of: Build) -> None:
    request, step = request_of(), step_of(0)
    assert machine.message(request, 0.0) == (OpenEngine(request),)
    assert machine.opened(0.1) == (SendOpened(request),)
    assert machine.message(step, 0.2) == (SendAck(0), RunStep(step))
    assert machine.step_answered(0.3)
    assert machine.next_seq == 1
    assert kinds(machine.message(step_of(1, (Row(0, 3, 1),)), 0.4)) == [SendAck, RunStep]
    assert machine.step_answered(0.5)
    assert kinds(machine.message(SessionClose(), 0.6)) == [End]
    assert machine.phase is Phase.CLOSED
    assert machine.deadline is None


def test_a_step_that_only_rolls_back_or_forks_is_a_step(idle: SessionMachine, step_of: Build) -> None:
    assert kinds(idle.message(step_of(0, (Row(0, 0, 0),)), 0.0)) == [SendAck, RunStep]
    assert idle.step_answered(0.0)
    assert kinds(idle.message(step_of(1, (), fork=(0, 0)), 0.0)) == [SendAck, RunStep]


def test_a_refused_open_ends_the_session(machine: SessionMachine, request_of: Build) -> None:
    machine.message(request_of(), 0.0)
    assert isinstance(refusal(machine.open_failed(Overloaded("full"))), Overloaded)


def test_an_open_that_differs_is_told_the_field_and_never_reaches_the_engine(
    machine: SessionMachine, request_of: Build
) -> None:
    error = refusal(machine.message(request_of(model_root=b"x" * 32), 0.0))
    assert isinstance(error, SessionMismatch)
    assert error.field == "model_root"


# ---------------------------------------------------------------- steps that are refused


@pytest.mark.parametrize("error", [CacheFull("full", retry_after_s=1.0), Overloaded("busy", retry_after_s=1.0)])
def test_a_full_cache_refuses_the_step_only_and_the_same_seq_may_come_again(
    idle: SessionMachine, step_of: Build, error: ComputeError
) -> None:
    idle.message(step_of(0), 0.0)
    assert idle.step_failed(error, 0.1) == (SendRefusal(error),)
    assert kinds(idle.message(step_of(0), 0.2)) == [SendAck, RunStep]


def test_any_other_failure_of_a_step_ends_the_session(idle: SessionMachine, step_of: Build) -> None:
    idle.message(step_of(0), 0.0)
    decisions = idle.step_failed(BadRequest("position 9 is above the lane's length"), 0.1)
    assert kinds(decisions) == [SendRefusal, End]


@pytest.mark.parametrize("seq", [0, 2])
def test_a_step_out_of_order_ends_the_session(idle: SessionMachine, step_of: Build, seq: int) -> None:
    idle.message(step_of(0), 0.0)
    idle.step_answered(0.0)
    assert "step 1 is expected" in str(refusal(idle.message(step_of(seq), 0.1)))


def test_a_second_step_while_one_is_in_progress_abandons_it(idle: SessionMachine, step_of: Build) -> None:
    idle.message(step_of(0), 0.0)
    assert kinds(idle.message(step_of(1), 0.1)) == [Abandon, SendRefusal, End]
    assert not idle.step_answered(0.2)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"rows": ()}, "does nothing"),
        ({"rows": (Row(2, 0, 1),)}, "lane 2"),
        ({"rows": (Row(1, 0, 1), Row(0, 0, 1))}, "lane 0"),
        ({"rows": (Row(0, 0, 1), Row(0, 1, 1))}, "lane 0"),
        ({"rows": (Row(0, 64, 1),)}, "position 65"),
        ({"rows": (Row(0, 0, 33),)}, "33 tokens"),
        ({"fork": (0, 0, 0)}, "3 lanes"),
        ({"fork": (2,)}, "lane 2"),
        ({"tokens": 4}, r"\[4, 8\]"),
        ({"width": 16}, r"\[3, 16\]"),
        ({"dtype": WireDType.FP16}, "FP16"),
        ({"codec": Codec.BLOCK8}, "BLOCK8"),
    ],
)
def test_a_step_that_breaks_its_sessions_terms_is_refused_with_the_reason(
    idle: SessionMachine, step_of: Build, step: dict[str, Any], says: str
) -> None:
    decisions = idle.message(step_of(0, **step), 0.0)
    error = refusal(decisions)
    assert isinstance(error, BadRequest)
    assert re.search(says, str(error))
    assert RunStep not in kinds(decisions)


def test_messages_out_of_place_are_refused(machine: SessionMachine, request_of: Build, step_of: Build) -> None:
    assert "SessionOpen" in str(refusal(machine.message(step_of(0), 0.0)))


def test_a_second_open_is_refused(idle: SessionMachine, request_of: Build) -> None:
    assert "already" in str(refusal(idle.message(request_of(), 0.0)))


def test_garbage_is_answered_and_ends_the_session(idle: SessionMachine) -> None:
    assert kinds(idle.violation(BadMessage("garbage"))) == [SendRefusal, End]
    assert idle.violation(BadMessage("garbage")) == ()


def test_the_end_of_the_stream_abandons_the_step(idle: SessionMachine, step_of: Build) -> None:
    idle.message(step_of(0), 0.0)
    assert kinds(idle.end_of_stream()) == [Abandon, End]


def test_a_step_that_found_no_room_may_come_again(idle: SessionMachine, step_of: Build) -> None:
    error = Overloaded("no room", retry_after_s=1.0)
    assert idle.thrown_away(error, 1.0) == (SendRefusal(error),)
    assert kinds(idle.message(step_of(0), 2.0)) == [SendAck, RunStep]


def test_a_large_message_out_of_place_ends_the_session(machine: SessionMachine) -> None:
    assert isinstance(refusal(machine.thrown_away(Overloaded("no room"), 1.0)), Overloaded)


# ---------------------------------------------------------------- time


def test_keepalives_alone_do_not_keep_a_cache_for_ever(idle: SessionMachine) -> None:
    now = 0.0
    while idle.phase is not Phase.CLOSED and now < 2 * TIMES.unused_timeout_s:
        now += 10.0
        idle.message(Keepalive(), now)
        if idle.deadline is not None and idle.deadline <= now:
            assert "no step came" in str(refusal(idle.tick(now)))
    assert now == pytest.approx(TIMES.unused_timeout_s, abs=10.0)


def test_heartbeats_come_at_their_pace_while_a_step_is_in_progress(idle: SessionMachine, step_of: Build) -> None:
    idle.message(step_of(0), 1.0)
    now = 1.0
    for _ in range(200):  # 80 s: longer than any idle time-out
        assert idle.deadline == pytest.approx(now + TIMES.heartbeat_s)
        now += TIMES.heartbeat_s
        assert idle.tick(now) == (SendHeartbeat(False),)
        assert idle.tick(now) == ()


def test_an_idle_session_beats_slowly_and_is_dropped_when_the_client_is_silent(idle: SessionMachine) -> None:
    beats, now = 0, 0.0
    while (deadline := idle.deadline) is not None:
        now = deadline
        decisions = idle.tick(now)
        beats += kinds(decisions).count(SendHeartbeat)
    assert now == pytest.approx(TIMES.idle_timeout_s)
    assert beats == 5


def test_keepalives_hold_an_idle_session_and_are_answered(idle: SessionMachine) -> None:
    for now in range(5, 500, 5):
        assert idle.message(Keepalive(), float(now)) == (SendHeartbeat(False),)
    assert idle.phase is Phase.IDLE


def test_a_flood_of_keepalives_ends_the_session(idle: SessionMachine) -> None:
    for _ in range(TIMES.keepalives_burst):
        assert kinds(idle.message(Keepalive(), 0.0)) == [SendHeartbeat]
    assert "keepalives" in str(refusal(idle.message(Keepalive(), 0.0)))


def test_a_stream_that_never_opens_is_dropped(machine: SessionMachine) -> None:
    assert machine.deadline == TIMES.open_timeout_s
    assert machine.tick(TIMES.open_timeout_s - 0.01) == ()
    assert kinds(machine.tick(TIMES.open_timeout_s)) == [SendRefusal, End]


@pytest.mark.parametrize(
    "changes",
    [{"heartbeat_s": 0.0}, {"idle_timeout_s": 1.0}, {"keepalives_burst": 0}, {"open_timeout_s": -1.0}],
)
def test_times_that_cannot_work_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        SessionTimes(**changes)


def test_a_message_on_its_way_is_no_silence_and_no_use(idle: SessionMachine) -> None:
    for now in range(10, int(TIMES.unused_timeout_s), 10):
        idle.heard(float(now))
        assert not any(isinstance(decision, End) for decision in idle.tick(float(now)))
    assert "no step came" in str(refusal(idle.tick(TIMES.unused_timeout_s)))


def test_bytes_without_an_open_do_not_hold_a_stream(machine: SessionMachine) -> None:
    machine.heard(TIMES.open_timeout_s - 1)
    assert "SessionOpen" in str(refusal(machine.tick(TIMES.open_timeout_s)))


# ---------------------------------------------------------------- leaving


def test_draining_tells_the_client_lets_it_go_on_and_ends_it_after_the_grace(
    idle: SessionMachine, step_of: Build
) -> None:
    assert idle.drain(1.0, 10.0) == (SendHeartbeat(True),)
    assert kinds(idle.message(step_of(0), 2.0)) == [SendAck, RunStep]
    assert idle.tick(2.4) == (SendHeartbeat(True),)
    assert idle.step_answered(3.0)
    idle.message(step_of(1, (Row(0, 3, 1),)), 10.9)
    decisions = idle.tick(11.0)
    assert kinds(decisions) == [Abandon, SendRefusal, End]
    assert isinstance(refusal(decisions), Draining)


def test_a_second_drain_can_only_shorten_the_grace(idle: SessionMachine) -> None:
    idle.drain(0.0, 4.0)
    idle.drain(0.0, 100.0)
    assert idle.deadline == pytest.approx(4.0)
    assert kinds(idle.drain(1.0, 0.0)) == [SendRefusal, End]


def test_an_endless_grace_asks_and_never_ends(idle: SessionMachine, step_of: Build) -> None:
    assert idle.drain(0.0, math.inf) == (SendHeartbeat(True),)
    for seq in range(20):
        now = 100.0 * seq
        assert kinds(idle.message(step_of(seq), now)) == [SendAck, RunStep]
        assert idle.step_answered(now)
        assert idle.tick(now + TIMES.idle_heartbeat_s) == (SendHeartbeat(True),)


def test_a_node_that_stays_after_all_says_so_with_its_next_heartbeat(idle: SessionMachine) -> None:
    idle.drain(0.0, 20.0)
    idle.stay()
    assert idle.tick(TIMES.idle_heartbeat_s) == (SendHeartbeat(False),)
    assert not any(isinstance(decision, End) for decision in idle.tick(20.0))


def test_a_session_that_opens_while_the_node_leaves_learns_it_with_the_opening(
    machine: SessionMachine, request_of: Build
) -> None:
    machine.message(request_of(), 0.0)
    assert machine.drain(0.1, 5.0) == ()
    assert kinds(machine.opened(0.2)) == [SendOpened, SendHeartbeat]


# ---------------------------------------------------------------- whatever comes


class AnyClient(RuleBasedStateMachine):
    """Random clients, clocks and engines: the machine's promises hold after every event."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.spoke_at = 0.0
        self.working = False
        self.ends = 0
        self.answered: list[int] = []
        self.running: int | None = None

    @initialize()
    def start(self) -> None:
        self.terms = ServedTerms(
            provider_key=b"p" * 32,
            network_id=bytes(32),
            model_root=b"m" * 32,
            span=Span(0, 4),
            width=8,
            quant_spec="fp32",
            numeric_profile="fp32",
            kernel_class="cpu",
            codecs=frozenset(Codec),
            dtypes=frozenset({WireDType.FP32}),
            lanes_max=4,
            context_max=64,
            step_tokens_max=8,
            message_bytes_max=1 << 16,
        )
        self.machine = SessionMachine(self.terms, TIMES, self.now)

    def take(self, decisions: Decisions) -> None:
        for place, decision in enumerate(decisions):
            assert self.ends == 0, "a decision after the end"
            match decision:
                case OpenEngine():
                    assert not self.working
                    self.working = True
                case RunStep(step):
                    assert not self.working
                    assert isinstance(decisions[place - 1], SendAck)
                    self.working, self.running = True, step.header.seq
                case Abandon():
                    assert self.working
                    self.working = False
                case End():
                    assert not self.working
                    self.ends += 1
                case _:
                    self.spoke_at = self.now

    @rule(passed_s=st.floats(0, 12))
    def wait(self, passed_s: float) -> None:
        """Time passes as it does for a caller that keeps to deadlines."""
        until = self.now + passed_s
        while (deadline := self.machine.deadline) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            if self.machine.phase is Phase.STEPPING:
                assert self.now - self.spoke_at <= TIMES.heartbeat_s + 1e-6
            self.take(self.machine.tick(self.now))
        self.now = until

    @rule(lanes=st.integers(0, 5), root=st.sampled_from([b"m" * 32, b"x" * 32]))
    def open(self, lanes: int, root: bytes) -> None:
        request = SessionOpen(
            session_id=SessionId(b"s" * 16),
            client_key=b"c" * 32,
            provider_key=self.terms.provider_key,
            network_id=self.terms.network_id,
            model_root=root,
            span=Span(1, 3),
            codec=Codec.RAW,
            dtype=WireDType.FP32,
            lanes=lanes,
            max_tokens=32,
        )
        self.take(self.machine.message(request, self.now))

    @rule(ahead=st.sampled_from([0, 0, 0, 1, -1]), n_tokens=st.integers(0, 9), lane=st.integers(0, 2))
    def step(self, ahead: int, n_tokens: int, lane: int) -> None:
        header = StepHeader(max(0, self.machine.next_seq + ahead), (Row(lane, 0, n_tokens),))
        hidden = EncodedTensor(WireDType.FP32, Codec.RAW, n_tokens, 8, bytes(32 * n_tokens))
        self.take(self.machine.message(StepMessage(header, hidden), self.now))

    @rule()
    def keepalive(self) -> None:
        self.take(self.machine.message(Keepalive(), self.now))

    @rule(is_complete=st.booleans())
    def large_message(self, is_complete: bool) -> None:
        if is_complete and self.machine.phase is Phase.IDLE:
            self.take(self.machine.thrown_away(Overloaded("no room"), self.now))
        else:
            self.machine.heard(self.now)

    @rule(how=st.sampled_from(["close", "eof", "garbage"]))
    @precondition(lambda self: self.machine.next_seq > 1)
    def leave(self, how: str) -> None:
        match how:
            case "close":
                self.take(self.machine.message(SessionClose(), self.now))
            case "eof":
                self.take(self.machine.end_of_stream())
            case _:
                self.take(self.machine.violation(BadMessage("garbage")))

    @rule(grace_s=st.floats(0, 20))
    @precondition(lambda self: self.machine.next_seq > 2)
    def drain(self, grace_s: float) -> None:
        self.take(self.machine.drain(self.now, grace_s))

    @precondition(lambda self: self.working)
    @rule(outcome=st.sampled_from(["well", "well", "well", "full", "bad"]))
    def work_ends(self, outcome: str) -> None:
        self.working = False
        opening = self.machine.phase is Phase.OPENING
        if outcome == "well" and opening:
            self.take(self.machine.opened(self.now))
        elif outcome == "well":
            assert self.running is not None
            if self.machine.step_answered(self.now):
                self.answered.append(self.running)
                self.spoke_at = self.now
        else:
            error = CacheFull("full") if outcome == "full" else BadRequest("position")
            self.take(self.machine.open_failed(error) if opening else self.machine.step_failed(error, self.now))

    @invariant()
    def promises(self) -> None:
        assert self.answered == list(range(len(self.answered)))
        assert (self.machine.phase is Phase.CLOSED) == (self.ends == 1)
        if self.ends:
            assert self.machine.deadline is None
        elif self.machine.phase is not Phase.OPENING:
            assert self.machine.deadline is not None


AnyClient.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyClient = AnyClient.TestCase
