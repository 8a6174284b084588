"""One peer's steps are bounded in rate and in what is in progress, over all its sessions."""

from __future__ import annotations

import pytest

from compute.errors import Overloaded
from compute.server.admission import AdmissionLimits
from compute.server.quota import StepQuota
from compute.types import PeerId

ALICE, BOB = PeerId("alice"), PeerId("bob")


def test_the_rate_of_steps_says_when_to_come_back() -> None:
    quota = StepQuota(AdmissionLimits(steps_per_s=2.0, steps_burst=1))
    with quota.step(ALICE, 1, 10.0):
        pass
    with pytest.raises(Overloaded, match="2 steps per second") as caught, quota.step(ALICE, 1, 10.0):
        pass
    assert caught.value.retry_after_s == pytest.approx(0.5)
    with quota.step(BOB, 1, 10.0), quota.step(ALICE, 1, 10.0 + caught.value.retry_after_s):
        pass


def test_tokens_in_progress_are_bounded_and_come_back() -> None:
    quota = StepQuota(AdmissionLimits(tokens_per_peer_max=10))
    with quota.step(ALICE, 6, 0.0):
        with pytest.raises(Overloaded, match="10 tokens of one peer") as caught, quota.step(ALICE, 5, 0.0):
            pass
        assert caught.value.retry_after_s > 0
        with quota.step(BOB, 10, 0.0), quota.step(ALICE, 4, 0.0):
            pass
    with quota.step(ALICE, 10, 0.0):
        pass


def test_a_step_that_fails_gives_its_tokens_back() -> None:
    quota = StepQuota(AdmissionLimits(tokens_per_peer_max=10))
    with pytest.raises(RuntimeError), quota.step(ALICE, 10, 0.0):
        raise RuntimeError
    with quota.step(ALICE, 10, 0.0):
        pass
