"""Messages on their way to one client. Writing never waits; a client that does not take them is found out."""

from __future__ import annotations

import asyncio
import contextlib

from compute.server.service_options import ServiceOptions
from compute.wire.frames import Reservation, frame
from compute.wire.limits import Pace


class WriteWatch:
    """Whether what is written is also taken, fast enough. Pure: told the time and what is still unsent."""

    def __init__(self, stall_s: float, pace: Pace) -> None:
        self._stall_s = stall_s
        self._pace = pace
        self._written = 0  # since the stream's start
        self._taken = 0
        self._taken_at = 0.0
        self._busy: tuple[float, int] | None = None  # since when something waits, and what had been taken by then

    def wrote(self, n_bytes: int) -> None:
        self._written += n_bytes

    def note(self, unsent: int, now: float) -> None:
        """`unsent` bytes of what was written wait at `now`."""
        taken = self._written - unsent
        if unsent == 0:
            self._busy = None
        elif self._busy is None:
            self._busy = (now, taken)
            self._taken_at = now
        elif taken > self._taken:
            self._taken_at = now
        self._taken = taken

    @property
    def deadline(self) -> float | None:
        """When the client is too slow, unless it takes something before; None when nothing waits."""
        if self._busy is None:
            return None
        since, before = self._busy
        return min(self._taken_at + self._stall_s, self._pace.deadline_s(since, self._taken_at, self._taken - before))


class Outbox:
    """The writing side of a stream, with what its messages hold of the provider's memory."""

    def __init__(self, writer: asyncio.StreamWriter, options: ServiceOptions) -> None:
        self._writer = writer
        self._bytes_max = options.write_buffer_bytes_max
        self._watch = WriteWatch(options.write_stall_s, options.pace)
        self._held: list[Reservation] = []

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client."""
        return self._writer.transport.get_write_buffer_size()

    @property
    def deadline(self) -> float | None:
        """When the client is too slow, as far as the last `note` knew."""
        return self._watch.deadline

    @property
    def is_overfull(self) -> bool:
        return self.unsent > self._bytes_max

    def send(self, body: bytes, now: float, held: Reservation | None = None) -> None:
        """Puts a frame into the transport's buffer. `held` is released when the client has taken all that waits."""
        if held is not None:
            self._held.append(held)
        if not self._writer.is_closing():
            data = frame(body)
            self._watch.wrote(len(data))
            self._writer.write(data)
        self.note(now)

    def note(self, now: float) -> None:
        """Looks how much has been taken."""
        unsent = self.unsent
        self._watch.note(unsent, now)
        if unsent == 0:
            self._release()

    def cut(self) -> None:
        """Ends the stream at once and drops what waits."""
        self._writer.transport.abort()
        self._release()

    def close(self) -> None:
        """Ends the stream. Idempotent."""
        end_stream(self._writer)
        self._release()

    def _release(self) -> None:
        for held in self._held:
            held.release()
        self._held.clear()


async def end_politely(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, linger_s: float) -> None:
    """Returns when the peer has ended the stream after our last message, at the latest after `linger_s`.

    Ending it first would break the peer's pending writes, and with them the delivery of the reason.
    """
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(linger_s):
            await writer.drain()
            while await reader.read(1 << 16):
                pass


def end_stream(writer: asyncio.StreamWriter) -> None:
    """Closes the stream; what the peer has not taken by now is dropped, or it would hold our memory for ever."""
    if writer.transport.get_write_buffer_size():
        writer.transport.abort()
    else:
        writer.close()
