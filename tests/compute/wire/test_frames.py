from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import BadMessage, Overloaded
from compute.wire.frames import Frame, FrameReader, Reservation, frame, read_frame
from compute.wire.limits import Budget, Pace


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


# ---------------------------------------------------------------- many streams, one budget


class Stream:
    """A stream of `peer` in virtual time, one frame of which is being read."""

    def __init__(self, budget: Budget, peer: str = "peer", free_bytes: int = 0, limit: int = 100) -> None:
        self.now = 0.0
        self.source = asyncio.StreamReader()
        self.reader = FrameReader(
            self.source, lambda: Reservation(budget, peer, free_bytes), Pace(30.0, 10), lambda: self.now
        )
        self.limit = limit
        self.reading = asyncio.create_task(self.reader.read(lambda: self.limit))

    async def feed(self, data: bytes) -> None:
        self.source.feed_data(data)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def next(self) -> Frame | None:
        return await self.reader.read(lambda: self.limit)


async def test_bytes_are_paid_as_they_come_and_not_as_they_are_announced() -> None:
    budget = Budget(100, 100)
    stream = Stream(budget)
    await stream.feed(frame(bytes(50))[:4])
    assert budget.total == 0
    await stream.feed(bytes(20))
    assert budget.total == 20
    await stream.feed(bytes(30))
    got = await stream.reading
    assert got is not None
    assert (got.body, budget.total) == (bytes(50), 50)
    got.held.release()
    got.held.release()
    assert budget.total == 0


async def test_a_frame_without_room_is_read_to_its_end_and_refused_and_the_next_one_comes() -> None:
    budget = Budget(100, 100)
    assert budget.take("somebody else", 60)
    stream = Stream(budget)
    await stream.feed(frame(bytes(50))[:44])
    assert budget.total == 100
    await stream.feed(bytes(5))
    assert budget.total == 60, "what was held of it is free before its end"
    await stream.feed(bytes(5) + frame(b"next"))
    with pytest.raises(Overloaded) as caught:
        await stream.reading
    assert caught.value.retry_after_s > 0
    got = await stream.next()
    assert got is not None
    assert got.body == b"next"


async def test_small_messages_pass_whatever_others_hold() -> None:
    budget = Budget(100, 100)
    assert budget.take("somebody else", 100)
    stream = Stream(budget, free_bytes=8)
    await stream.feed(frame(b"12345678"))
    assert await stream.reading is not None


async def test_one_peer_has_its_share_over_all_its_streams() -> None:
    budget = Budget(100, 50)
    streams = [Stream(budget, "greedy") for _ in range(4)]
    for stream in streams:
        await stream.feed(frame(bytes(40))[:24])
    assert budget.total <= 50
    honest = Stream(budget, "honest")
    await honest.feed(frame(bytes(40)))
    assert await honest.reading is not None


@pytest.mark.parametrize("cut", [2, 4, 20])
async def test_a_frame_that_is_not_completed_gives_its_bytes_back(cut: int) -> None:
    budget = Budget(100, 100)
    ended, cancelled = Stream(budget), Stream(budget)
    for stream in (ended, cancelled):
        await stream.feed(frame(bytes(50))[:cut])
    ended.source.feed_eof()
    assert await ended.reading is None
    cancelled.reading.cancel()
    await asyncio.wait({cancelled.reading})
    assert budget.total == 0


async def test_an_oversize_frame_costs_nothing() -> None:
    budget = Budget(100, 100)
    stream = Stream(budget)
    stream.limit = 10
    await stream.feed((11).to_bytes(4, "big"))
    with pytest.raises(BadMessage, match="11 bytes; at most 10"):
        await stream.reading
    assert budget.total == 0


async def test_the_limit_is_asked_when_the_frame_begins_and_not_before() -> None:
    stream = Stream(Budget(100, 100), limit=1)
    await stream.feed(b"")
    stream.limit = 10
    await stream.feed(frame(b"hello"))
    assert await stream.reading is not None


async def test_a_frame_under_way_has_a_deadline_that_its_bytes_move() -> None:
    stream = Stream(Budget(100, 100))
    assert stream.reader.deadline_s is None
    stream.now = 100.0
    await stream.feed(frame(bytes(50))[:1])
    assert stream.reader.deadline_s == pytest.approx(130.0)
    stream.now = 110.0
    await stream.feed(frame(bytes(50))[1:24])
    assert stream.reader.deadline_s == pytest.approx(132.4)
    assert stream.reader.heard_s == 110.0
    await stream.feed(bytes(30))
    await stream.reading
    assert stream.reader.deadline_s is None
    assert stream.reader.heard_s is None


@given(st.lists(st.tuples(st.integers(0, 2), st.binary(min_size=1, max_size=60)), max_size=30), st.integers(20, 60))
def test_the_budget_holds_whatever_comes_on_any_stream(parts: list[tuple[int, bytes]], total: int) -> None:
    async def run() -> None:
        budget = Budget(total, total)
        streams = [Stream(budget, str(n), limit=1 << 32) for n in range(3)]
        for n, data in parts:
            await streams[n].feed(data)
            assert 0 <= budget.total <= total
        for stream in streams:
            stream.reading.cancel()
        for result in await asyncio.gather(*(stream.reading for stream in streams), return_exceptions=True):
            if isinstance(result, Frame):
                result.held.release()
        assert budget.total == 0

    asyncio.run(run())
