"""Real daemons on loopback: joining, listening, ending."""

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
from hivemind.p2p import P2P

from compute.errors import AddressInUse, BadRequest, PeerUnreachable
from compute.identity import NodeKey
from compute.swarm.network import NetworkOptions, SwarmNetwork

Join = Callable[..., Awaitable[SwarmNetwork]]


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


async def test_a_node_that_listens_everywhere_is_found_on_this_machine_too(join: Join) -> None:
    node = await SwarmNetwork.create(NetworkOptions(listen=("/ip4/0.0.0.0/tcp/0",)))
    try:
        assert any(address.startswith("/ip4/127.0.0.1/tcp/") for address in node.addresses)
        assert all(address.endswith(f"/p2p/{node.peer_id}") for address in node.addresses)
    finally:
        await node.close()
    assert (await join(client=True)).addresses == ()


async def test_the_port_of_another_node_is_named_even_with_initial_peers(join: Join) -> None:
    first = await join(NodeKey.generate())
    port = first.addresses[0].split("/")[4]
    taken = NetworkOptions(listen=(f"/ip4/127.0.0.1/tcp/{port}",), initial_peers=first.addresses)
    with pytest.raises(AddressInUse, match=port):
        await SwarmNetwork.create(taken)
    not_ours = NetworkOptions(listen=("/ip4/192.0.2.9/tcp/0",), initial_peers=first.addresses)
    with pytest.raises(AddressInUse, match=r"192\.0\.2\.9"):
        await SwarmNetwork.create(not_ours)


@pytest.mark.parametrize("address", ["/ip4/127.0.0.1/udp/0", "/ip4/127.0.0.1/tcp/99999", "localhost:80"])
async def test_addresses_that_nobody_can_listen_on_are_the_callers_mistake(address: str) -> None:
    with pytest.raises(BadRequest, match="/ip4/"):
        await SwarmNetwork.create(NetworkOptions(listen=(address,)))


@pytest.mark.slow
async def test_an_initial_peer_that_says_nothing_is_given_up_in_time() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        address = f"/ip4/127.0.0.1/tcp/{mute.getsockname()[1]}/p2p/{NodeKey.generate().peer_id}"
        async with asyncio.timeout(15):
            with pytest.raises(PeerUnreachable, match=address):
                await SwarmNetwork.create(NetworkOptions(initial_peers=(address,), client_mode=True))


async def test_one_initial_peer_that_answers_is_enough(join: Join) -> None:
    first = await join(NodeKey.generate())
    nobody = f"/ip4/127.0.0.1/tcp/1/p2p/{NodeKey.generate().peer_id}"
    client = await SwarmNetwork.create(NetworkOptions(initial_peers=(nobody, *first.addresses), client_mode=True))
    await client.close()


async def test_a_daemon_without_a_node_is_no_way_into_the_swarm() -> None:
    """It answers at the transport; a node that joined through it would be alone without knowing it."""
    daemon = await P2P.create(host_maddrs=["/ip4/127.0.0.1/tcp/0"], auto_nat=False, nat_port_map=False, use_relay=False)
    try:
        addresses = tuple(str(address) for address in await daemon.get_visible_maddrs())
        with pytest.raises(PeerUnreachable, match=str(daemon.peer_id)):
            await SwarmNetwork.create(NetworkOptions(initial_peers=addresses, client_mode=True))
    finally:
        await daemon.shutdown()


async def test_the_loop_stays_the_one_that_was_chosen(join: Join) -> None:
    await join(NodeKey.generate())
    assert type(asyncio.get_running_loop()).__module__.startswith("asyncio.")
    assert type(asyncio.get_event_loop_policy()).__module__.startswith("asyncio.")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc to see which processes are left")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda end: end.name)
async def test_the_end_of_a_node_takes_its_daemon_along(end: signal.Signals) -> None:
    program = (
        "import asyncio, sys\n"
        "from compute.swarm.network import *\n"
        "async def main():\n"
        "    n = await SwarmNetwork.create(NetworkOptions(listen=('/ip4/127.0.0.1/tcp/0',)))\n"
        "    sys.stdout.write(str(n.p2p._child.pid) + '\\n'); sys.stdout.flush()\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert node.stdout is not None
    daemon = int(await node.stdout.readline())
    assert _is_running(daemon)
    os.kill(node.pid, end)
    await node.wait()
    await asyncio.to_thread(_await_end, daemon, 2.0)


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
