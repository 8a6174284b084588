"""A provider's key and a session that its receipts are bound to, the same in every run."""

from __future__ import annotations

import pytest

from compute.identity import NodeKey
from compute.types import SessionId, Span
from compute.wire.receipts import SessionIdentity


@pytest.fixture(scope="session")
def provider_key() -> NodeKey:
    return NodeKey(bytes(range(32)))


@pytest.fixture(scope="session")
def session(provider_key: NodeKey) -> SessionIdentity:
    return SessionIdentity(
        session_id=SessionId(bytes(range(16))),
        provider_key=provider_key.public_key,
        network_id=bytes(32),
        model_root=bytes([7]) * 32,
        span=Span(3, 15),
    )
