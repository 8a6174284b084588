"""Options are checked once, where they are made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from compute.server.handler import ServiceOptions
from compute.server.options import ProviderOptions, ProviderState, ProviderStatus
from compute.types import PeerId


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": ""}, "model"),
        ({"listen": ()}, "listen"),
        ({"cache_bytes": 0}, "cache_bytes"),
        ({"threads": 0}, "threads"),
        ({"network_id": b"short"}, "network_id"),
        ({"refresh_s": 60.0}, "expire"),
    ],
)
def test_each_broken_option_is_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ProviderOptions(**{"model": "m", **changes})


@pytest.mark.parametrize("changes", [{"write_buffer_bytes_max": 1}, {"write_stall_s": 0.0}, {"linger_s": 0.0}])
def test_service_options_that_cannot_work_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        ServiceOptions(**changes)


def test_the_allow_list_reaches_the_sessions() -> None:
    friend = PeerId("friend")
    assert ProviderOptions("m", allowed_peers=frozenset({friend})).sessions.admission.allowed == {friend}
    assert ProviderOptions("m").sessions.admission.allowed is None


def test_a_passphrase_is_never_shown() -> None:
    assert "hunter2" not in repr(ProviderOptions("m", passphrase="hunter2"))


def test_a_status_is_plain_data() -> None:
    status = ProviderStatus(
        ProviderState.ONLINE, "peer", ("/ip4/1.2.3.4/tcp/5",), "m", "00", 30, (0, 15), "fp32", "fp32", "fp32",
        1, 2, 3, 4, 5, 6, 7, 8,
    )  # fmt: skip
    data = json.loads(json.dumps(status.as_json()))
    assert (data["state"], data["span"], data["addresses"]) == ("online", [0, 15], ["/ip4/1.2.3.4/tcp/5"])
