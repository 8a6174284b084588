"""Checks of single fields of a peer's message, and of a message's bytes as a whole. All raise BadMessage.

Protobuf keeps what it parses in memory: two bytes on the wire can become a submessage of fifty. Long messages are
therefore walked through first, and given up at the number of fields that no honest message has.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from compute.errors import BadMessage, ErrorCode
from compute.types import Codec, Span, StepKind, WireDType
from compute.wire import peerz_pb2 as pb
from compute.wire.limits import TEXT_CHARS_MAX

FIELDS_MAX = 1 << 14
"""Of a message and of the messages in it. A step of 4096 rows is far below."""

_WALKED_BYTES_MIN = 1 << 16

M = TypeVar("M", bound=Message)
E = TypeVar("E", Codec, WireDType, StepKind, ErrorCode)


def decoded(message: M, data: bytes) -> M:
    """`message`, filled from `data`."""
    if len(data) >= _WALKED_BYTES_MIN and _count_fields(data, 0, len(data), 2) > FIELDS_MAX:
        raise BadMessage(f"a message of more than {FIELDS_MAX} fields")
    try:
        message.ParseFromString(data)
    except (DecodeError, ValueError) as error:
        raise BadMessage("bytes that are no message of this protocol") from error
    return message


def _count_fields(data: bytes, at: int, end: int, depth: int) -> int:
    """How many fields stand in `data[at:end]` and, down to `depth`, in what its fields hold; a little more than
    FIELDS_MAX at most. Stops at what is malformed: that is the parser's to refuse."""
    count = 0
    while at < end and count <= FIELDS_MAX:
        count += 1
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:  # varint
                _, at = _varint(data, at)
            case 1:  # 8 bytes
                at += 8
            case 2:  # length and bytes
                length, at = _varint(data, at)
                if depth > 1:
                    count += _count_fields(data, at, min(end, at + length), depth - 1)
                at += length
            case 5:  # 4 bytes
                at += 4
    return count


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and where it ends; the end of `data` where it is cut off or too long."""
    value = 0
    for shift, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, at + shift + 1
    return 0, len(data)


def parse_span(message: pb.SpanMsg) -> Span:
    try:
        return Span(message.start, message.end)
    except ValueError as error:
        raise BadMessage(str(error)) from None


def parse_codec(number: int) -> Codec:
    return known(Codec, number, "codec")


def parse_dtype(number: int) -> WireDType:
    return known(WireDType, number, "dtype")


def parse_text(text: str, field: str) -> str:
    """`text` if it is short and printable: it may end up on somebody's terminal."""
    if len(text) > TEXT_CHARS_MAX or not text.isprintable():
        raise BadMessage(f"{field} is longer than {TEXT_CHARS_MAX} characters or not printable")
    return text


def known(kind: type[E], number: int, field: str) -> E:
    """The member of `kind` that has `number`."""
    try:
        return kind(number)
    except ValueError:
        raise BadMessage(f"{field} is {number}, which this version does not know") from None


def exactly(value: bytes, length: int, field: str) -> bytes:
    """`value` if it has `length` bytes."""
    if len(value) != length:
        raise BadMessage(f"{field} has {len(value)} bytes instead of {length}")
    return value


def between(value: int, least: int, most: int, field: str) -> int:
    """`value` if it is in `[least, most]`."""
    if not least <= value <= most:
        raise BadMessage(f"{field} is {value}; it must be {least} to {most}")
    return value


def span_message(span: Span) -> pb.SpanMsg:
    return pb.SpanMsg(start=span.start, end=span.end)
