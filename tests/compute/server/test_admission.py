"""One peer cannot take everybody's place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import ComputeError, Draining, Overloaded, Unauthorised
from compute.server.admission import Admission, AdmissionLimits
from compute.types import PeerId

ALICE, BOB = PeerId("alice"), PeerId("bob")


def test_a_peer_is_held_to_its_sessions_and_others_are_not() -> None:
    admission = Admission(AdmissionLimits(sessions_per_peer_max=2))
    admission.admit(ALICE, 0.0)
    admission.admit(ALICE, 0.0)
    with pytest.raises(Overloaded, match="2 sessions of one peer") as caught:
        admission.admit(ALICE, 0.0)
    assert caught.value.retry_after_s > 0
    admission.admit(BOB, 0.0)
    admission.release(ALICE)
    admission.admit(ALICE, 0.0)


def test_the_rate_of_new_sessions_says_when_to_come_back() -> None:
    admission = Admission(AdmissionLimits(opens_per_s=2.0, opens_burst=1))
    admission.admit(ALICE, 10.0)
    with pytest.raises(Overloaded, match="per second") as caught:
        admission.admit(ALICE, 10.0)
    assert caught.value.retry_after_s == pytest.approx(0.5)
    admission.admit(ALICE, 10.0 + caught.value.retry_after_s)


def test_all_sessions_together_are_bounded() -> None:
    admission = Admission(AdmissionLimits(sessions_max=1))
    admission.admit(ALICE, 0.0)
    with pytest.raises(Overloaded, match="1 sessions are open"):
        admission.admit(BOB, 0.0)


def test_a_private_swarm_lets_in_only_its_list() -> None:
    admission = Admission(AdmissionLimits(allowed=frozenset({ALICE})))
    admission.admit(ALICE, 0.0)
    with pytest.raises(Unauthorised):
        admission.admit(BOB, 0.0)


def test_a_leaving_provider_takes_nobody_new() -> None:
    admission = Admission(AdmissionLimits())
    admission.draining = True
    with pytest.raises(Draining):
        admission.admit(ALICE, 0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"sessions_max": 0},
        {"sessions_per_peer_max": 0},
        {"opens_per_s": 0.0},
        {"opens_burst": 0},
        {"refusals_per_peer_max": 0},
        {"steps_per_s": 0.0},
        {"steps_burst": 0},
        {"tokens_per_peer_max": 0},
    ],
)
def test_limits_that_let_nobody_in_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        AdmissionLimits(**changes)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans(), st.floats(0, 5)), max_size=60))
def test_counts_are_those_of_a_plain_list(events: list[tuple[str, bool, float]]) -> None:
    limits = AdmissionLimits(sessions_max=5, sessions_per_peer_max=3, opens_per_s=1.0, peers_remembered_max=2)
    admission, twin, now = Admission(limits), list[str](), 0.0
    for name, arrives, passed_s in events:
        now += passed_s
        if arrives:
            full = len(twin) >= limits.sessions_max or twin.count(name) >= limits.sessions_per_peer_max
            try:
                admission.admit(PeerId(name), now)
            except ComputeError:
                assert full
            else:
                assert not full
                twin.append(name)
        elif name in twin:
            admission.release(PeerId(name))
            twin.remove(name)
