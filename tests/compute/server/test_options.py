"""Options are checked once, where they are made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from compute.server.admission import AdmissionLimits
from compute.server.options import ProviderOptions, ProviderState, ProviderStatus
from compute.server.service_options import ServiceOptions
from compute.types import PeerId


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": ""}, "model"),
        ({"listen": ()}, "listen"),
        ({"cache_bytes": 0}, "cache_bytes"),
        ({"threads": 0}, "threads"),
        ({"message_bytes": 1 << 20}, "message_bytes"),
        ({"move_drain_s": 0.0}, "move_drain_s"),
        ({"network_id": b"short"}, "network_id"),
        ({"refresh_s": 60.0}, "expire"),
    ],
)
def test_each_broken_option_is_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ProviderOptions(**{"model": "m", **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"write_buffer_bytes_max": 1},
        {"write_stall_s": 0.0},
        {"linger_s": 0.0},
        {"held_bytes_max": 16 << 20},
        {"held_share_max": 1.5},
    ],
)
def test_service_options_that_cannot_work_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        ServiceOptions(**changes)


def test_a_peer_may_always_send_one_whole_step() -> None:
    with pytest.raises(ValueError, match="tokens_per_peer_max"):
        ServiceOptions(admission=AdmissionLimits(tokens_per_peer_max=100))


@pytest.mark.parametrize(
    ("message_bytes", "free_bytes", "held"),
    [
        (None, 2 << 30, 256 << 20),
        (None, 1 << 40, 512 << 20),
        (None, 0, 64 << 20),
        (100 << 20, 1 << 40, 100 << 20),
        (1 << 30, 0, 1 << 30),
    ],
    ids=["an eighth", "no more than enough", "one message of each peer at least", "less", "more"],
)
def test_the_budget_of_messages_follows_the_memory_or_what_was_asked_for(
    message_bytes: int | None, free_bytes: int, held: int
) -> None:
    assert ProviderOptions("m", message_bytes=message_bytes).sessions_on(free_bytes).held_bytes_max == held


def test_the_allow_list_reaches_the_sessions() -> None:
    friend = PeerId("friend")
    assert ProviderOptions("m", allowed_peers=frozenset({friend})).sessions_on(1 << 34).admission.allowed == {friend}
    assert ProviderOptions("m").sessions_on(1 << 34).admission.allowed is None


def test_a_passphrase_is_never_shown() -> None:
    assert "hunter2" not in repr(ProviderOptions("m", passphrase="hunter2"))


def test_a_status_is_plain_data() -> None:
    status = ProviderStatus(
        ProviderState.ONLINE, "peer", ("/ip4/1.2.3.4/tcp/5",), "m", "00", 30, (0, 15), "fp32", "fp32", "fp32",
        1, 2, 3, 4, 5, 6, 7, 8,
    )  # fmt: skip
    data = json.loads(json.dumps(status.as_json()))
    assert (data["state"], data["span"], data["addresses"]) == ("online", [0, 15], ["/ip4/1.2.3.4/tcp/5"])
