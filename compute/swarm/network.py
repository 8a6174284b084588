"""This node's place in the swarm: a libp2p daemon and a DHT node, both ending with this process."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hivemind.dht.node import DHTNode
from hivemind.p2p import P2P, PeerID
from hivemind.p2p.p2p_daemon_bindings.utils import P2PDaemonError
from hivemind.utils.multiaddr import Multiaddr

from compute.errors import AddressInUse, BadRequest, PeerUnreachable
from compute.identity import NO_CHAIN, NodeKey
from compute.swarm.daemon import connect
from compute.swarm.validator import RecordValidator, drop_one_by_one
from compute.types import PeerId

_TCP = re.compile(r"/(ip4|ip6)/([^/]+)/tcp/(\d+)")
_START_TIMEOUT_S = 20.0
_CONNECT_TIMEOUT_S = 5.0
_GREETINGS_MAX = 2


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """How a node joins.

    Args:
        key: the node's key; None draws one for this run.
        listen: multiaddrs to listen on; empty for a client, which only calls.
        initial_peers: full multiaddrs (with `/p2p/`) of any nodes of the swarm; empty founds one.
        client_mode: takes no part in storing the DHT's records.
        network_id: 32 bytes; records of other networks are dropped.
    """

    key: NodeKey | None = None
    listen: tuple[str, ...] = ()
    initial_peers: tuple[str, ...] = ()
    client_mode: bool = False
    network_id: bytes = NO_CHAIN


class SwarmNetwork:
    """A joined node. Made by `create`, ended by `close`."""

    def __init__(self, p2p: P2P, dht: DHTNode, addresses: tuple[str, ...], network_id: bytes) -> None:
        self.p2p = p2p
        self.dht = dht
        self.addresses = addresses
        self.network_id = network_id
        self.peer_id = PeerId(p2p.peer_id.to_base58())

    @classmethod
    async def create(cls, options: NetworkOptions) -> SwarmNetwork:
        """Starts the daemon and joins.

        Raises BadRequest for malformed addresses, AddressInUse naming the port, PeerUnreachable when none of the
        initial peers answers in time.
        """
        for address in options.initial_peers:
            _parsed(address, needs_peer=True)
        for address in options.listen:
            _check_free(address)
        validator = RecordValidator(options.network_id)
        p2p = await _start_daemon(options)
        try:
            dht = await DHTNode.create(
                p2p,
                initial_peers=list(options.initial_peers),
                client_mode=options.client_mode,
                record_validator=validator,
                ensure_bootstrap_success=False,
                strict=False,
            )
            drop_one_by_one(dht.protocol, validator)
            if options.initial_peers:
                await _check_joined(dht, options.initial_peers)
            visible = [] if not options.listen else await p2p.get_visible_maddrs()
        except BaseException:
            await p2p.shutdown()
            raise
        return cls(p2p, dht, tuple(str(address) for address in visible), options.network_id)

    async def connect(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        """Tells the daemon where `peer` is, and connects. Raises PeerUnreachable."""
        known = []
        for address in addresses:
            with contextlib.suppress(BadRequest):
                known.append(_parsed(address).decapsulate(f"/p2p/{peer}") if "/p2p/" in address else _parsed(address))
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await connect(self.p2p, peer, known)
        except (TimeoutError, P2PDaemonError, ValueError, OSError, EOFError) as error:
            raise PeerUnreachable(f"{peer} cannot be reached at {', '.join(addresses) or 'any address'}") from error

    async def close(self) -> None:
        """Leaves; the daemon is gone afterwards."""
        await self.dht.shutdown()
        await self.p2p.shutdown()


async def _start_daemon(options: NetworkOptions) -> P2P:
    key = options.key or NodeKey.generate()
    local = all("/127." in address or "/::1/" in address for address in options.listen)
    arguments: dict[str, Any] = {
        "initial_peers": list(options.initial_peers),
        "host_maddrs": list(options.listen),
        "no_listen": not options.listen,
        "dht_mode": "client" if options.client_mode else "server",
        "check_if_identity_free": False,  # hivemind's check reads RSA keys only
        "auto_nat": not local,
        "nat_port_map": not local,
        "use_relay": not local,
        "startup_timeout": _START_TIMEOUT_S,
    }
    with tempfile.TemporaryDirectory(prefix="peerz-id-") as directory:
        identity = Path(directory) / "identity"
        key.write_libp2p_identity(identity)
        try:
            return await P2P.create(identity_path=str(identity), **arguments)
        except (P2PDaemonError, TimeoutError) as error:
            # A port that was free when it was looked at may be taken now, so the daemon's own words decide.
            if options.initial_peers and "failed to listen" not in str(error):
                raise _unreachable(options.initial_peers) from error
            raise AddressInUse(f"the libp2p daemon cannot listen on {', '.join(options.listen)}: {error}") from error


async def _check_joined(dht: DHTNode, initial_peers: tuple[str, ...]) -> None:
    """Raises PeerUnreachable when the daemon met some initial peer, but none answers as a node of the DHT.

    A node that went on alone would announce to nobody and find nobody. A busy peer is asked more than once.
    """
    peers = [PeerID.from_base58(address.rpartition("/p2p/")[2]) for address in initial_peers]
    for _ in range(_GREETINGS_MAX):
        if dht.protocol.routing_table.uid_to_peer_id:
            return
        await asyncio.gather(*(dht.protocol.call_ping(peer) for peer in peers))
    if not dht.protocol.routing_table.uid_to_peer_id:
        raise _unreachable(initial_peers)


def _unreachable(initial_peers: tuple[str, ...]) -> PeerUnreachable:
    peers = ", ".join(initial_peers)
    return PeerUnreachable(
        f"none of the initial peers answered: {peers}; check the address, and that a node runs there"
    )


def _parsed(address: str, *, needs_peer: bool = False) -> Multiaddr:
    try:
        parsed = Multiaddr(address)
    except Exception as error:  # the library raises whatever its codecs raise
        raise BadRequest(f"{address!r} is no address; it looks like /ip4/192.0.2.7/tcp/31337/p2p/12D3Koo...") from error
    if needs_peer and "/p2p/" not in address:
        raise BadRequest(f"{address!r} lacks the /p2p/ part; copy the whole address that the provider printed")
    return parsed


def _check_free(address: str) -> None:
    """The daemon only says that it failed; this says which port is taken. Raises AddressInUse, BadRequest."""
    match = _TCP.match(str(_parsed(address)))
    if match is None:
        raise BadRequest(f"{address!r} cannot be listened on; it looks like /ip4/0.0.0.0/tcp/0")
    if match[3] == "0":
        return
    family = socket.AF_INET if match[1] == "ip4" else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((match[2], int(match[3])))
    except OSError as error:
        raise AddressInUse(f"port {match[3]} of {match[2]} is in use or not ours; choose another --listen") from error
