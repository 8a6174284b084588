from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import BadMessage
from compute.wire.frames import frame, read_frame, write_frame


def fed(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def test_frames_come_out_as_they_went_in() -> None:
    reader = fed(frame(b"one") + frame(b"") + frame(b"three"))
    assert [await read_frame(reader, 10) for _ in range(4)] == [b"one", b"", b"three", None]


async def test_a_frame_may_arrive_byte_by_byte() -> None:
    reader = asyncio.StreamReader()
    reading = asyncio.create_task(read_frame(reader, 10))
    for byte in frame(b"hello"):
        assert not reading.done()
        reader.feed_data(bytes([byte]))
        await asyncio.sleep(0)
    assert await reading == b"hello"


async def test_an_oversize_frame_is_refused_before_its_body_is_there() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data((11).to_bytes(4, "big"))
    with pytest.raises(BadMessage, match="11 bytes; at most 10"):
        await read_frame(reader, 10)


async def test_a_frame_of_exactly_the_limit_is_read() -> None:
    assert await read_frame(fed(frame(bytes(10))), 10) == bytes(10)


@pytest.mark.parametrize("cut", range(8))
async def test_a_stream_that_ends_inside_a_frame_has_ended(cut: int) -> None:
    assert await read_frame(fed(frame(b"hello")[:cut]), 10) is None


async def test_a_broken_stream_has_ended() -> None:
    reader = asyncio.StreamReader()
    reader.set_exception(ConnectionResetError())
    assert await read_frame(reader, 10) is None


@given(st.lists(st.binary(max_size=50), max_size=5), st.binary(max_size=50))
def test_any_bytes_are_frames_then_an_end_or_a_typed_error(bodies: list[bytes], garbage: bytes) -> None:
    async def read_all() -> list[bytes]:
        reader = fed(b"".join(map(frame, bodies)) + garbage)
        found = []
        try:
            while (body := await read_frame(reader, 50)) is not None:
                found.append(body)
        except BadMessage:
            pass
        return found

    assert asyncio.run(read_all())[: len(bodies)] == bodies


async def test_a_frame_written_to_a_socket_is_read_at_its_other_end() -> None:
    here, there = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=here)
    reader, other = await asyncio.open_connection(sock=there)
    body = bytes(range(256)) * 4096
    reading = asyncio.create_task(read_frame(reader, len(body)))
    await write_frame(writer, body)
    assert await reading == body
    for end in (writer, other):
        end.close()
        await end.wait_closed()
