"""Opening a stream through the libp2p daemon, such that one that does not come about leaves no socket behind.

hivemind's own `call_binary_stream_handler` forgets its socket when the peer cannot be reached or the caller gives up.
Fail-over meets both.
"""

from __future__ import annotations

import asyncio

from hivemind.p2p import P2P, PeerID
from hivemind.p2p.p2p_daemon_bindings.utils import raise_if_failed, read_pbmsg_safe, write_pbmsg
from hivemind.proto import p2pd_pb2

from compute.types import PeerId


async def open_stream(p2p: P2P, peer: PeerId, protocol: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A new stream to the handler of `protocol` at `peer`. Raises the daemon's error, OSError or EOFError."""
    reader, writer = await p2p._client.control.daemon_connector.open_connection()
    try:
        wanted = p2pd_pb2.StreamOpenRequest(peer=PeerID.from_base58(peer).to_bytes(), proto=[protocol])
        await write_pbmsg(writer, p2pd_pb2.Request(type=p2pd_pb2.Request.STREAM_OPEN, streamOpen=wanted))
        answer = p2pd_pb2.Response()
        await read_pbmsg_safe(reader, answer)
        raise_if_failed(answer)
    except BaseException:
        writer.close()
        raise
    return reader, writer
