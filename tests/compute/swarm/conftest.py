"""Records of made-up providers, and real networks on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hivemind.utils import get_dht_time

from compute.identity import NO_CHAIN, NodeKey
from compute.swarm.network import NetworkOptions, SwarmNetwork
from compute.swarm.records import TTL_S, PeerState, ProviderRecord
from compute.types import Span

ROOT = b"r" * 32
N_BLOCKS = 12

MakeRecord = Callable[..., ProviderRecord]


def make_record(key: NodeKey, span: Span, **changes: Any) -> ProviderRecord:
    """A believable record of `key`'s owner."""
    fields: dict[str, Any] = {
        "public_key": key.public_key,
        "network_id": NO_CHAIN,
        "model_root": ROOT,
        "model_name": "tiny",
        "span": span,
        "n_blocks": N_BLOCKS,
        "state": PeerState.ONLINE,
        "expires_at_ms": round((get_dht_time() + TTL_S) * 1000),
        "addresses": ("/ip4/127.0.0.1/tcp/4000",),
        "quant_spec": "fp32",
        "numeric_profile": "fp32/fp32/fp32",
        "decode_us": 10_000,
        "prefill_tokens_s": 500,
        "cache_bytes_free": 1 << 30,
        "cache_bytes_per_token": 1 << 10,
        **changes,
    }
    return ProviderRecord(**fields)


@pytest.fixture
def record() -> MakeRecord:
    return make_record


@pytest.fixture
async def join() -> AsyncIterator[Callable[..., Awaitable[SwarmNetwork]]]:
    """Joins nodes on loopback; all of them are closed afterwards."""
    networks: list[SwarmNetwork] = []

    async def start(key: NodeKey | None = None, *, client: bool = False, **more: Any) -> SwarmNetwork:
        options = NetworkOptions(
            key=key,
            listen=() if client else ("/ip4/127.0.0.1/tcp/0",),
            initial_peers=networks[0].addresses if networks else (),
            client_mode=client,
            **more,
        )
        networks.append(await SwarmNetwork.create(options))
        return networks[-1]

    yield start
    for network in reversed(networks):
        await network.close()
