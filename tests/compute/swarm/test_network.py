"""Real daemons and DHT nodes on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hivemind.utils import get_dht_time

from compute.errors import AddressInUse, BadRequest, LinkLost, PeerUnreachable
from compute.identity import NodeKey
from compute.swarm.directory import Directory
from compute.swarm.network import NetworkOptions, SwarmNetwork
from compute.swarm.pinger import PeerLoad, PeerzInfo, Pinger
from compute.swarm.records import PeerState, ProviderRecord, seal_record
from compute.swarm.validator import INDEX_KEY, model_key
from compute.types import Span
from compute.wire import peerz_pb2 as pb

ROOT = b"r" * 32
Join = Callable[..., Awaitable[SwarmNetwork]]
MakeRecord = Callable[..., ProviderRecord]


async def test_a_client_sees_what_providers_publish(join: Join, record: MakeRecord) -> None:
    keys = [NodeKey.generate(), NodeKey.generate()]
    nodes = [await join(key) for key in keys]
    assert [node.peer_id for node in nodes] == [key.peer_id for key in keys]
    client = await join(client=True)
    for key, node, span in zip(keys, nodes, (Span(0, 6), Span(6, 12)), strict=True):
        await Directory(node).publish(record(key, span), key)
    found = await Directory(client).fetch(ROOT)
    assert {r.peer_id: r.span for r in found} == {keys[0].peer_id: Span(0, 6), keys[1].peer_id: Span(6, 12)}
    assert len(await Directory(client).models()) == 2
    assert await Directory(client).fetch(b"x" * 32) == ()


async def test_who_leaves_is_seen_to_leave(join: Join, record: MakeRecord) -> None:
    key = NodeKey.generate()
    node, client = await join(key), await join(client=True)
    mine = record(key, Span(0, 12))
    await Directory(node).publish(mine, key)
    await Directory(node).withdraw(mine, key)
    (found,) = await Directory(client).fetch(ROOT)
    assert found.state is PeerState.LEAVING


async def test_a_forged_record_is_stored_by_nobody(join: Join, record: MakeRecord) -> None:
    victim, liar = NodeKey.generate(), NodeKey.generate()
    node, attacker, client = await join(victim), await join(liar), await join(client=True)
    await Directory(node).publish(record(victim, Span(0, 6)), victim)
    honest = pb.SignedRecord.FromString(seal_record(record(victim, Span(0, 12)), victim))
    forged = pb.SignedRecord(record=honest.record, signature=liar.sign(honest.record)).SerializeToString()
    expiry = get_dht_time() + 40
    key = model_key(ROOT)
    # The attacker's own node does not check what it sends.
    attacker.dht.protocol.record_validator = None
    await attacker.dht.store(key, forged, expiry, subkey=victim.peer_id)
    grafted = seal_record(record(liar, Span(0, 12)), liar)
    await attacker.dht.store(key, grafted, expiry, subkey=victim.peer_id)
    assert [r.span for r in await Directory(client).fetch(ROOT)] == [Span(0, 6)]
    assert [r.span for r in await Directory(node).fetch(ROOT)] == [Span(0, 6)]


async def test_stale_foreign_and_misplaced_records_are_refused(join: Join, record: MakeRecord) -> None:
    key = NodeKey.generate()
    node = await join(NodeKey.generate())
    await join(key)
    now_s = get_dht_time()
    stale = seal_record(record(key, Span(0, 12), expires_at_ms=round((now_s - 1) * 1000)), key)
    foreign = seal_record(record(key, Span(0, 12), network_id=b"n" * 32), key)
    good = seal_record(record(key, Span(0, 12)), key)
    place = model_key(ROOT)
    assert not await node.dht.store(place, stale, now_s + 40, subkey=key.peer_id)
    assert not await node.dht.store(place, foreign, now_s + 40, subkey=key.peer_id)
    assert not await node.dht.store(model_key(b"x" * 32), good, now_s + 40, subkey=key.peer_id)
    assert not await node.dht.store(place, good, now_s + 400, subkey=key.peer_id)
    assert not await node.dht.store(place, b"junk", now_s + 40, subkey=key.peer_id)
    assert not await node.dht.store(place, good, now_s + 40)
    assert await node.dht.store(INDEX_KEY, good, now_s + 40, subkey=key.peer_id)


async def test_a_ping_measures_and_a_silent_peer_is_forgotten(join: Join) -> None:
    server, client = await join(NodeKey.generate()), await join(client=True)
    await PeerzInfo(lambda: PeerLoad(b"", 3, 4, 5)).add_p2p_handlers(server.p2p)
    pinger = Pinger(client.p2p, timeout_s=1.0)
    await pinger.ping_all([server.peer_id])
    assert 0 < pinger.rtt_s[server.peer_id] < 1
    nobody = NodeKey.generate().peer_id
    await pinger.ping_all([nobody])
    assert nobody not in pinger.rtt_s
    with pytest.raises(LinkLost, match="does not answer"):
        await pinger.ping(nobody)


async def test_an_unreachable_initial_peer_is_named() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"/ip4/127.0.0.1/tcp/{probe.getsockname()[1]}/p2p/{NodeKey.generate().peer_id}"
    with pytest.raises(PeerUnreachable, match=address):
        await SwarmNetwork.create(NetworkOptions(initial_peers=(address,), client_mode=True))


async def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse, match=str(port)):
            await SwarmNetwork.create(NetworkOptions(listen=(f"/ip4/127.0.0.1/tcp/{port}",)))


@pytest.mark.parametrize("address", ["hello", "/ip4/127.0.0.1/tcp/80", "/ip4/999.1.1.1/tcp/1/p2p/x", ""])
async def test_malformed_addresses_are_the_callers_mistake(address: str) -> None:
    with pytest.raises(BadRequest):
        await SwarmNetwork.create(NetworkOptions(initial_peers=(address,), client_mode=True))


async def test_connecting_to_nobody_is_a_typed_error(join: Join) -> None:
    node = await join(NodeKey.generate())
    with pytest.raises(PeerUnreachable):
        await node.connect(NodeKey.generate().peer_id, ("/ip4/127.0.0.1/tcp/1",))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc to see which processes are left")
async def test_sigkill_of_a_node_takes_its_daemon_along() -> None:
    program = (
        "import asyncio\n"
        "from compute.swarm.network import *\n"
        "async def main():\n"
        "    n = await SwarmNetwork.create(NetworkOptions(listen=('/ip4/127.0.0.1/tcp/0',)))\n"
        "    import sys; sys.stdout.write(str(n.p2p._child.pid) + '\\n'); sys.stdout.flush()\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert node.stdout is not None
    daemon = int(await node.stdout.readline())
    assert _is_running(daemon)
    os.kill(node.pid, signal.SIGKILL)
    await node.wait()
    await asyncio.to_thread(_await_end, daemon, 3.0)


def _await_end(pid: int, timeout_s: float) -> None:
    """Returns when the process is gone; a process that is not our child can only be polled."""
    deadline_s = time.monotonic() + timeout_s
    while _is_running(pid):
        assert time.monotonic() < deadline_s, "the daemon outlives its node"
        time.sleep(0.02)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
