"""Round trips between real daemons on loopback, and peers that answer wrongly or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from hivemind.p2p import PeerID

from compute.errors import LinkLost
from compute.identity import NodeKey
from compute.swarm.network import SwarmNetwork
from compute.swarm.pinger import PeerLoad, PeerzInfo, Pinger
from compute.wire import peerz_pb2 as pb

Join = Callable[..., Awaitable[SwarmNetwork]]
LOAD = PeerLoad(record=b"", queued_tokens=3, cache_bytes_free=4, sessions=5)


async def answers_with(network: SwarmNetwork, reply: Callable[[bytes], Awaitable[bytes]]) -> None:
    """Serves raw bytes where pings are expected."""

    async def handler(request: bytes, _: PeerID) -> bytes:
        return await reply(request)

    await network.p2p._client.add_unary_handler("PeerzInfo.rpc_info", handler)


async def test_a_ping_measures_and_a_silent_peer_is_forgotten(join: Join) -> None:
    server, client = await join(NodeKey.generate()), await join(client=True)
    await PeerzInfo(lambda: LOAD).add_p2p_handlers(server.p2p)
    pinger = Pinger(client.p2p, timeout_s=1.0)
    await pinger.ping_all([server.peer_id])
    assert 0 < pinger.rtt_s[server.peer_id] < 1
    nobody = NodeKey.generate().peer_id
    await pinger.ping_all([nobody])
    assert nobody not in pinger.rtt_s
    with pytest.raises(LinkLost, match="does not answer"):
        await pinger.ping(nobody)


async def test_round_trips_are_smoothed(join: Join) -> None:
    server, client = await join(NodeKey.generate()), await join(client=True)
    await PeerzInfo(lambda: LOAD).add_p2p_handlers(server.p2p)

    def ticks() -> Iterator[float]:
        """Clock readings around pings that take 1, 1 and 2 seconds."""
        yield from (0.0, 1.0, 10.0, 11.0, 20.0, 22.0)

    pinger = Pinger(client.p2p, clock=ticks().__next__)
    assert [await pinger.ping(server.peer_id) for _ in range(3)] == [1.0, 1.0, 2.0]
    assert pinger.rtt_s[server.peer_id] == pytest.approx(1.3)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (pb.InfoReply(nonce=b"another" * 2).SerializeToString(), "something else"),
        (b"", "something else"),
        (b"\xff\xff\xff", "does not answer"),
    ],
    ids=["replayed", "empty", "garbage"],
)
async def test_a_wrong_answer_is_no_answer(join: Join, reply: bytes, why: str) -> None:
    liar, honest, client = await join(NodeKey.generate()), await join(NodeKey.generate()), await join(client=True)
    await PeerzInfo(lambda: LOAD).add_p2p_handlers(honest.p2p)

    async def lie(_: bytes) -> bytes:
        return reply

    await answers_with(liar, lie)
    pinger = Pinger(client.p2p)
    pinger.rtt_s[liar.peer_id] = 0.001
    with pytest.raises(LinkLost, match=why):
        await pinger.ping(liar.peer_id)
    assert liar.peer_id not in pinger.rtt_s
    await pinger.ping_all([liar.peer_id, honest.peer_id])
    assert list(pinger.rtt_s) == [honest.peer_id]


async def test_a_peer_that_hangs_costs_a_timeout_and_no_more(join: Join) -> None:
    hanging, client = await join(NodeKey.generate()), await join(client=True)

    async def hang(_: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    await answers_with(hanging, hang)
    pinger = Pinger(client.p2p, timeout_s=0.3)
    async with asyncio.timeout(5):
        await pinger.ping_all([hanging.peer_id])
    assert pinger.rtt_s == {}


async def test_only_so_many_pings_are_under_way_at_once(join: Join) -> None:
    server, client = await join(NodeKey.generate()), await join(client=True)
    under_way, most = 0, 0

    class Counting(Pinger):
        async def ping(self, peer: object) -> float:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            return 0.0

    await Counting(client.p2p).ping_all([NodeKey.generate().peer_id for _ in range(100)] + [server.peer_id])
    assert 1 < most <= 16
