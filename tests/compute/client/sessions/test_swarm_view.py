"""What a client knows of its swarm, between real daemons on loopback."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hivemind.utils import get_dht_time

from compute.client.swarm_view import SwarmView, ViewOptions
from compute.errors import NoRoute
from compute.identity import NO_CHAIN, NodeKey
from compute.swarm.directory import Directory
from compute.swarm.network import NetworkOptions, SwarmNetwork
from compute.swarm.pinger import PeerLoad, PeerzInfo
from compute.swarm.records import PeerState, ProviderRecord, seal_record
from compute.types import Span

ROOT = b"r" * 32
N_BLOCKS = 4
Start = Callable[..., Awaitable[SwarmNetwork]]


def record_of(key: NodeKey, network: SwarmNetwork, state: PeerState, *, lives_s: float = 30.0) -> ProviderRecord:
    return ProviderRecord(
        public_key=key.public_key,
        network_id=NO_CHAIN,
        model_root=ROOT,
        model_name="tiny",
        span=Span(0, N_BLOCKS),
        n_blocks=N_BLOCKS,
        state=state,
        expires_at_ms=round((get_dht_time() + lives_s) * 1000),
        addresses=network.addresses,
        quant_spec="fp32",
        numeric_profile="fp32/fp32/fp32",
        decode_us=10_000,
        prefill_tokens_s=500,
        cache_bytes_free=1 << 30,
        cache_bytes_per_token=1 << 10,
    )


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    networks: list[SwarmNetwork] = []

    async def join(key: NodeKey | None = None) -> SwarmNetwork:
        listen = ("/ip4/127.0.0.1/tcp/0",) if key is not None else ()
        peers = networks[0].addresses if networks else ()
        networks.append(await SwarmNetwork.create(NetworkOptions(key, listen, peers, client_mode=key is None)))
        return networks[-1]

    yield join
    for network in reversed(networks):
        await network.close()


@pytest.mark.parametrize("said_by", ["itself", "another"])
async def test_a_provider_that_has_come_up_is_known_at_the_next_ping(start: Start, said_by: str) -> None:
    """The directory still says JOINING; the provider itself says ONLINE, and nobody else can say it in its name."""
    key = NodeKey.generate()
    provider = await start(key)
    await Directory(provider).publish(record_of(key, provider, PeerState.JOINING), key)
    speaker = key if said_by == "itself" else NodeKey.generate()
    answer = seal_record(record_of(speaker, provider, PeerState.ONLINE, lives_s=40.0), speaker)
    await PeerzInfo(lambda: PeerLoad(answer, 0, 0, 0)).add_p2p_handlers(provider.p2p)
    view = SwarmView(await start(), ROOT, N_BLOCKS, ViewOptions(refresh_s=60.0), secrets.token_bytes(16))
    await view.start()
    try:
        if said_by == "itself":
            assert [target.peer for target in view.plan(Span(0, N_BLOCKS), (), 8)] == [key.peer_id]
        else:
            with pytest.raises(NoRoute):
                view.plan(Span(0, N_BLOCKS), (), 8)
        assert key.peer_id in view.rtt_s
    finally:
        await view.stop()


async def test_a_refresh_ends_with_the_first_news_though_somebody_is_silent(start: Start) -> None:
    """One known provider never answers a ping; the state of the other one changes."""
    keys = [NodeKey.generate(), NodeKey.generate()]
    networks = [await start(key) for key in keys]
    for key, network in zip(keys, networks, strict=True):
        await Directory(network).publish(record_of(key, network, PeerState.ONLINE), key)
    silence = asyncio.Event()

    async def never(request: bytes, _: object) -> bytes:
        await silence.wait()
        return b""

    await networks[1].p2p._client.add_unary_handler("PeerzInfo.rpc_info", never)
    said = [seal_record(record_of(keys[0], networks[0], PeerState.ONLINE), keys[0])]
    await PeerzInfo(lambda: PeerLoad(said[0], 0, 0, 0)).add_p2p_handlers(networks[0].p2p)
    view = SwarmView(await start(), ROOT, N_BLOCKS, ViewOptions(refresh_s=60.0), secrets.token_bytes(16))
    await view.start()
    try:
        said[0] = seal_record(record_of(keys[0], networks[0], PeerState.LEAVING, lives_s=40.0), keys[0])
        async with asyncio.timeout(10.0):
            while any(r.peer_id == keys[0].peer_id and r.state is PeerState.ONLINE for r in view.records):
                await view.refresh()
        assert [target.peer for target in view.plan(Span(0, N_BLOCKS), (), 8)] == [keys[1].peer_id]
    finally:
        silence.set()
        await view.stop()
