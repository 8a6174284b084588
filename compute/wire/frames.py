"""One protobuf message per frame: a 4-byte big-endian length, then the message.

hivemind's own protobuf streams read whatever length a peer announces; here a frame beyond the limit is refused before a
byte of its body is read.
"""

from __future__ import annotations

import asyncio
import struct

from compute.errors import BadMessage

STREAM_PROTOCOL = "/peerz/session/1"

_LENGTH = struct.Struct(">I")


async def read_frame(reader: asyncio.StreamReader, bytes_max: int) -> bytes | None:
    """The next frame's body, or None at the end of the stream (also in the middle of a frame).

    Raises BadMessage for a frame of more than `bytes_max`; nothing sensible can be read from the stream after that.
    """
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > bytes_max:
            raise BadMessage(f"a message of {length} bytes; at most {bytes_max} are allowed")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def frame(body: bytes) -> bytes:
    """`body` as it stands on the stream, in one piece: two writes would be two packets for every small message."""
    return _LENGTH.pack(len(body)) + body


async def write_frame(writer: asyncio.StreamWriter, body: bytes) -> None:
    """Writes one frame and waits until the transport's buffer has room again.

    Raises ConnectionError on a broken stream.
    """
    writer.write(frame(body))
    await writer.drain()
