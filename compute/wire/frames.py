"""One protobuf message per frame: a 4-byte big-endian length, then the message.

hivemind's own protobuf streams read whatever length a peer announces; here a frame beyond the limit is refused before a
byte of its body is read. `read_frame` is for who talks to one peer that it chose. `FrameReader` is for who is talked to
by many: it pays for bytes as they arrive out of a budget that all streams share, and knows when a frame is too slow.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass

from compute.errors import BadMessage, Overloaded
from compute.wire.limits import Budget, Pace

STREAM_PROTOCOL = "/peerz/session/1"

_LENGTH = struct.Struct(">I")
_CHUNK_BYTES = 256 << 10
_RETRY_S = 1.0
"""Messages are held for as long as a step takes."""


def frame(body: bytes) -> bytes:
    """`body` as it stands on the stream, in one piece: two writes would be two packets for every small message."""
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader, bytes_max: int) -> bytes | None:
    """The next frame's body, or None at the end of the stream (also in the middle of a frame).

    Raises BadMessage for a frame of more than `bytes_max`; nothing sensible can be read from the stream after that.
    """
    try:
        length = _checked(await reader.readexactly(_LENGTH.size), bytes_max)
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


class Reservation:
    """Bytes of one message, held of a budget in the name of `holder`. The first `free_bytes` cost nothing."""

    def __init__(self, budget: Budget, holder: str, free_bytes: int) -> None:
        self._budget = budget
        self._holder = holder
        self._free_bytes = free_bytes
        self._paid = 0

    def grow_to(self, n_bytes: int) -> bool:
        """Whether `n_bytes` are held now; what was held before stays held when not."""
        more = max(0, n_bytes - self._free_bytes) - self._paid
        if more <= 0:
            return True
        if not self._budget.take(self._holder, more):
            return False
        self._paid += more
        return True

    def hand_over(self) -> Reservation:
        """What is held, as another's to release; nothing is held here afterwards."""
        other = Reservation(self._budget, self._holder, self._free_bytes)
        other._paid, self._paid = self._paid, 0
        return other

    def release(self) -> None:
        """Idempotent."""
        self._budget.give_back(self._holder, self._paid)
        self._paid = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """A complete frame. `held` is released by whoever is done with the message that `body` is."""

    body: bytes
    held: Reservation


class FrameReader:
    """Frames of one stream among many.

    `reserve` makes an empty reservation for a frame. While a frame is under way, `deadline_s` is when it falls behind
    `pace`; the caller has the timer, and what it does about a late frame is its own business.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        reserve: Callable[[], Reservation],
        pace: Pace,
        clock: Callable[[], float],
    ) -> None:
        self._reader = reader
        self._reserve = reserve
        self._pace = pace
        self._clock = clock
        self._started_s: float | None = None
        self._heard_s = 0.0
        self._n_bytes = 0

    @property
    def deadline_s(self) -> float | None:
        """None between frames."""
        if self._started_s is None:
            return None
        return self._pace.deadline_s(self._started_s, self._heard_s, self._n_bytes)

    @property
    def heard_s(self) -> float | None:
        """When the last bytes of the frame under way came; None between frames."""
        return None if self._started_s is None else self._heard_s

    async def read(self, bytes_max: Callable[[], int]) -> Frame | None:
        """The next frame, or None at the end of the stream. `bytes_max` is asked when the frame's length is known.

        Raises BadMessage as `read_frame` does. Raises Overloaded when the frame found no room in the budget: it has
        been read to its end then and thrown away, so the stream goes on with the next.
        """
        held = self._reserve()
        try:
            body = await self._body(bytes_max, held)
            if body is not None:
                return Frame(body, held)
        except BaseException:
            held.release()
            raise
        finally:
            self._started_s = None
        held.release()
        return None

    async def _body(self, bytes_max: Callable[[], int], held: Reservation) -> bytes | None:
        self._n_bytes = 0
        prefix = b""
        while len(prefix) < _LENGTH.size:
            if not (chunk := await self._some(_LENGTH.size - len(prefix))):
                return None
            prefix += chunk
        length = _checked(prefix, bytes_max())
        body = bytearray()  # a list of chunks would cost forty times their bytes when they come one by one
        left, fits = length, True
        while left:
            if not (chunk := await self._some(left)):
                return None
            left -= len(chunk)
            if fits and not (fits := held.grow_to(length - left)):
                body.clear()
                held.release()
            elif fits and len(chunk) == length:
                return chunk
            if fits:
                body += chunk
        if not fits:
            raise Overloaded(
                f"no room for a message of {length} bytes beside those of others; send it again in a moment",
                retry_after_s=_RETRY_S,
            )
        return bytes(body)

    async def _some(self, n_max: int) -> bytes:
        """At least one byte, or none at the end of the stream."""
        try:
            chunk = await self._reader.read(min(n_max, _CHUNK_BYTES))
        except ConnectionError:
            return b""
        self._heard_s = self._clock()
        if self._started_s is None:
            self._started_s = self._heard_s
        self._n_bytes += len(chunk)
        return chunk


def _checked(prefix: bytes, bytes_max: int) -> int:
    (length,) = _LENGTH.unpack(prefix)
    if length > bytes_max:
        raise BadMessage(f"a message of {length} bytes; at most {bytes_max} are allowed")
    return int(length)
