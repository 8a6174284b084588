"""Requests to the libp2p daemon such that one that does not come about leaves no socket behind.

hivemind's own calls forget their socket when the peer cannot be reached or the caller gives up. Fail-over meets both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hivemind.p2p import P2P, PeerID
from hivemind.p2p.p2p_daemon_bindings.utils import raise_if_failed, read_pbmsg_safe, write_pbmsg
from hivemind.proto import p2pd_pb2
from hivemind.utils.multiaddr import Multiaddr

from compute.types import PeerId


async def open_stream(p2p: P2P, peer: PeerId, protocol: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A new stream to the handler of `protocol` at `peer`. Raises the daemon's error, OSError or EOFError."""
    wanted = p2pd_pb2.StreamOpenRequest(peer=PeerID.from_base58(peer).to_bytes(), proto=[protocol])
    return await _ask(p2p, p2pd_pb2.Request(type=p2pd_pb2.Request.STREAM_OPEN, streamOpen=wanted))


async def connect(p2p: P2P, peer: PeerId, addresses: Sequence[Multiaddr]) -> None:
    """Connects to `peer`, which is at some of `addresses`. Raises the daemon's error, OSError or EOFError."""
    where = [address.to_bytes() for address in addresses]
    wanted = p2pd_pb2.ConnectRequest(peer=PeerID.from_base58(peer).to_bytes(), addrs=where)
    _, writer = await _ask(p2p, p2pd_pb2.Request(type=p2pd_pb2.Request.CONNECT, connect=wanted))
    writer.close()


async def _ask(p2p: P2P, request: p2pd_pb2.Request) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the daemon, which has just granted `request` on it."""
    reader, writer = await p2p._client.control.daemon_connector.open_connection()
    try:
        await write_pbmsg(writer, request)
        answer = p2pd_pb2.Response()
        await read_pbmsg_safe(reader, answer)
        raise_if_failed(answer)
    except BaseException:
        writer.close()
        raise
    return reader, writer
