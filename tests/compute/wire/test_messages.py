from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import (
    BadMessage,
    BadRequest,
    CacheFull,
    ComputeError,
    Draining,
    ErrorCode,
    Moved,
    Overloaded,
    PeerInternal,
    SelfTestFailed,
    SessionMismatch,
    Unauthorised,
    WeightsCorrupt,
)
from compute.types import Codec, PeerId, Row, SessionId, Span, StepHeader, StepKind, WireDType
from compute.wire import peerz_pb2 as pb
from compute.wire.codecs import EncodedTensor
from compute.wire.fields import FIELDS_MAX
from compute.wire.messages import (
    ClientMessage,
    Heartbeat,
    Keepalive,
    Refusal,
    ServerMessage,
    SessionClose,
    SessionOpen,
    SessionOpened,
    StepAck,
    StepMessage,
    StepOutput,
    build_client_message,
    build_server_message,
    error_of,
    parse_client_message,
    parse_server_message,
    refusal_of,
)
from compute.wire.receipts import StepReceipt

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
texts = st.text(st.characters(categories=["L", "N", "P"]), max_size=40)
keys = st.binary(min_size=32, max_size=32)
session_ids = st.binary(min_size=16, max_size=16).map(SessionId)
spans = st.tuples(st.integers(0, 500), st.integers(1, 500)).map(lambda s: Span(s[0], s[0] + s[1]))
tensors = st.builds(
    EncodedTensor,
    st.sampled_from(WireDType),
    st.sampled_from(Codec),
    u32,
    st.integers(1, 2**20),
    st.binary(max_size=40),
)
lanes = st.integers(0, 4095)
headers = st.builds(
    StepHeader,
    u64,
    st.lists(st.builds(Row, lanes, u32, u32), max_size=4).map(tuple),
    st.lists(lanes, max_size=4).map(tuple),
)
receipts = st.builds(
    StepReceipt, u64, u32, u32, st.sampled_from(StepKind), keys, keys, keys, st.binary(min_size=64, max_size=64)
)
client_messages = st.one_of(
    st.builds(
        SessionOpen,
        session_ids,
        keys,
        keys,
        keys,
        keys,
        spans,
        st.sampled_from(Codec),
        st.sampled_from(WireDType),
        st.integers(1, 4096),
        st.integers(1, 2**31),
        texts,
        texts,
        u32,
    ),
    st.builds(StepMessage, headers, tensors),
    st.just(Keepalive()),
    st.just(SessionClose()),
)
server_messages = st.one_of(
    st.builds(
        SessionOpened,
        session_ids,
        texts,
        texts,
        texts,
        st.integers(10, 60_000),
        st.integers(1, 2**31),
        st.integers(1024, 2**32 - 1),
        st.binary(min_size=16, max_size=16),
        u32,
    ),
    st.builds(StepAck, u64),
    st.builds(StepOutput, u64, tensors, receipts, u32, u32),
    st.builds(Heartbeat, u32, u64, st.booleans()),
    st.builds(
        Refusal, st.sampled_from(ErrorCode), texts, st.integers(0, 3_600_000), texts, st.one_of(st.none(), spans)
    ),
)


@given(client_messages)
def test_a_clients_message_comes_out_as_it_went_in(message: ClientMessage) -> None:
    assert parse_client_message(build_client_message(message)) == message


@given(server_messages)
def test_a_providers_message_comes_out_as_it_went_in(message: ServerMessage) -> None:
    assert parse_server_message(build_server_message(message)) == message


# ---------------------------------------------------------------- hostile bytes


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """A message that is cut, extended, spliced or has bits flipped."""
    data = bytearray(draw(messages))
    match draw(st.sampled_from(["cut", "extend", "insert", "flip"])):
        case "cut":
            del data[draw(st.integers(0, len(data))) :]
        case "extend":
            data += draw(st.one_of(st.binary(max_size=20), messages))
        case "insert":
            at = draw(st.integers(0, len(data)))
            data[at:at] = draw(st.binary(max_size=8))
        case "flip":
            for _ in range(draw(st.integers(1, 4)) if data else 0):
                data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


@given(damaged(client_messages.map(build_client_message)))
def test_a_damaged_client_message_is_a_valid_one_or_a_typed_error(data: bytes) -> None:
    try:
        message = parse_client_message(data)
    except BadMessage:
        return
    assert parse_client_message(build_client_message(message)) == message


@given(damaged(server_messages.map(build_server_message)))
def test_a_damaged_provider_message_is_a_valid_one_or_a_typed_error(data: bytes) -> None:
    try:
        message = parse_server_message(data)
    except BadMessage:
        return
    assert parse_server_message(build_server_message(message)) == message


@pytest.mark.parametrize("parse", [parse_client_message, parse_server_message])
@given(data=st.binary(max_size=100))
def test_garbage_is_a_valid_message_or_a_typed_error(parse: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(BadMessage):
        parse(data)


@pytest.mark.parametrize("parse", [parse_client_message, parse_server_message])
@pytest.mark.parametrize("data", [b"", b"\xfa\x01\x00"], ids=["empty", "a body of field 31"])
def test_a_message_without_a_known_body_is_refused(parse: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(BadMessage, match="newer"):
        parse(data)


def test_a_flood_of_tiny_submessages_is_refused_before_it_is_parsed() -> None:
    rows = b"\x12\x00" * (1 << 20)
    with pytest.raises(BadMessage, match="fields"):
        parse_client_message(_field(2, rows))
    few_at_a_time = _field(2, b"\x12\x00" * 100) * 10_000
    with pytest.raises(BadMessage, match="fields"):
        parse_client_message(few_at_a_time)


def test_a_long_message_with_few_fields_is_read() -> None:
    hidden = EncodedTensor(WireDType.FP32, Codec.RAW, 2048, 576, bytes(2048 * 576 * 4))
    header = StepHeader(0, tuple(Row(lane, 0, 1) for lane in range(FIELDS_MAX // 8)))
    message = StepMessage(header, hidden)
    assert parse_client_message(build_client_message(message)) == message


LONG = StepMessage(StepHeader(7, (Row(0, 0, 1),)), EncodedTensor(WireDType.FP32, Codec.RAW, 1, 1, bytes(1 << 17)))


@pytest.mark.parametrize(
    "unknown",
    [b"\xf8\x01\x05", b"\xf9\x01" + bytes(8), b"\xfd\x01" + bytes(4), b"\xfb\x01\xfc\x01", b"\xfa\x01\x02xx"],
    ids=["varint", "8 bytes", "4 bytes", "group", "length and bytes"],
)
def test_a_long_message_may_have_fields_of_newer_versions(unknown: bytes) -> None:
    data = build_client_message(LONG)
    assert parse_client_message(unknown + data + unknown) == LONG


@given(st.binary(max_size=12), st.data())
def test_long_garbage_is_a_valid_message_or_a_typed_error(garbage: bytes, data: st.DataObject) -> None:
    whole = build_client_message(LONG)
    at = data.draw(st.one_of(st.integers(0, 40), st.integers(len(whole) - 40, len(whole))))
    with contextlib.suppress(BadMessage):
        parse_client_message(whole[:at] + garbage + whole[at:])


@pytest.mark.parametrize("start", [b"\xff" * 11, b"\x07", b"\x12" + b"\xff" * 9 + b"\x7f", b"\x0b" * 101])
def test_a_long_message_that_is_malformed_is_refused(start: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_client_message(start + bytes(1 << 17))


def _field(number: int, payload: bytes) -> bytes:
    length, encoded = len(payload), b""
    while length >= 0x80:
        encoded += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + encoded + bytes([length]) + payload


# ---------------------------------------------------------------- single fields


def _good_open() -> pb.SessionOpen:
    message = SessionOpen(
        SessionId(bytes(16)), *(bytes(32),) * 4, Span(0, 3), Codec.RAW, WireDType.FP32, lanes=1, max_tokens=8
    )
    return pb.ClientMessage.FromString(build_client_message(message)).open


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("session_id", bytes(15)),
        ("client_key", b""),
        ("provider_key", bytes(33)),
        ("network_id", bytes(31)),
        ("model_root", bytes(64)),
        ("codec", 0),
        ("codec", 99),
        ("dtype", 0),
        ("dtype", 4),
        ("lanes", 0),
        ("lanes", 1 << 20),
        ("max_tokens", 0),
        ("quant_spec", "x" * 513),
        ("numeric_profile", "\x1b[31m"),
    ],
)
def test_a_session_open_with_a_bad_field_is_refused_by_its_name(field: str, value: Any) -> None:
    message = _good_open()
    setattr(message, field, value)
    with pytest.raises(BadMessage, match=field):
        parse_client_message(pb.ClientMessage(open=message).SerializeToString())


@pytest.mark.parametrize(("start", "end"), [(0, 0), (3, 3), (5, 2)])
def test_an_empty_or_backward_span_is_refused(start: int, end: int) -> None:
    message = _good_open()
    message.span.start, message.span.end = start, end
    with pytest.raises(BadMessage, match="span"):
        parse_client_message(pb.ClientMessage(open=message).SerializeToString())


@pytest.mark.parametrize(
    "step",
    [
        pb.Step(),
        pb.Step(hidden=pb.Tensor(dtype=pb.FP32, codec=pb.RAW, width=0)),
        pb.Step(hidden=pb.Tensor(dtype=pb.FP32, codec=pb.RAW, width=1 << 21)),
        pb.Step(rows=[pb.RowMsg(lane=1 << 16)], hidden=pb.Tensor(dtype=pb.FP32, codec=pb.RAW, width=8)),
        pb.Step(fork=[1 << 31], hidden=pb.Tensor(dtype=pb.FP32, codec=pb.RAW, width=8)),
        pb.Step(fork=[0] * 5000, hidden=pb.Tensor(dtype=pb.FP32, codec=pb.RAW, width=8)),
        pb.Step(rows=[pb.RowMsg()] * 5000, hidden=pb.Tensor(dtype=pb.FP32, codec=pb.RAW, width=8)),
    ],
    ids=["no tensor", "width 0", "wide", "lane", "fork", "long fork", "many rows"],
)
def test_a_step_that_no_session_could_have_is_refused(step: pb.Step) -> None:
    with pytest.raises(BadMessage):
        parse_client_message(pb.ClientMessage(step=step).SerializeToString())


@pytest.mark.parametrize("field", ["in_hash", "out_hash", "in_chain", "signature", "kind"])
def test_a_receipt_with_a_missing_field_is_refused_by_its_name(field: str) -> None:
    receipt = StepReceipt(0, 0, 1, StepKind.DECODE, *(bytes(32),) * 3, bytes(64))
    hidden = EncodedTensor(WireDType.FP32, Codec.RAW, 1, 1, bytes(4))
    message = pb.ServerMessage.FromString(build_server_message(StepOutput(0, hidden, receipt, 0, 0)))
    message.output.receipt.ClearField(field)
    with pytest.raises(BadMessage, match=field):
        parse_server_message(message.SerializeToString())


# ---------------------------------------------------------------- refusals

PEER = PeerId("12D3KooWprovider")


def _crossed(error: ComputeError) -> ComputeError:
    refusal = parse_server_message(build_server_message(refusal_of(error)))
    assert isinstance(refusal, Refusal)
    return error_of(refusal, PEER)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("step 3 came where step 2 is expected"), BadRequest),
        (BadMessage("bytes that are no message"), BadRequest),
        (Unauthorised("not on the list"), Unauthorised),
        (CacheFull("no room", retry_after_s=1.25), CacheFull),
        (Overloaded("busy", retry_after_s=0.5), Overloaded),
        (Draining("leaving"), Draining),
        (Moved("another span", span=Span(4, 9)), Moved),
        (SessionMismatch("model_root", "aa", "bb"), SessionMismatch),
        (PeerInternal("boom"), PeerInternal),
    ],
)
def test_a_refusal_arrives_as_the_error_that_it_was(error: ComputeError, kind: type[ComputeError]) -> None:
    seen = _crossed(error)
    assert isinstance(seen, kind)
    assert seen.code is error.code
    assert seen.peer == PEER
    assert getattr(seen, "retry_after_s", None) == getattr(error, "retry_after_s", None)
    assert getattr(seen, "field", None) == getattr(error, "field", None)
    assert seen.span == error.span
    if error.code is not ErrorCode.INTERNAL:
        assert str(seen) == str(error)


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_becomes_an_error_that_has_it(code: ErrorCode) -> None:
    assert error_of(Refusal(code, "no"), PEER).code is code


@pytest.mark.parametrize(
    "error",
    [
        SelfTestFailed("decode differs on /home/someone"),
        WeightsCorrupt("/home/someone/model.safetensors is truncated"),
        ComputeError("/home/someone"),
    ],
)
def test_what_went_wrong_inside_is_not_told_to_peers(error: ComputeError) -> None:
    refusal = refusal_of(error)
    assert refusal.code is ErrorCode.INTERNAL
    assert "someone" not in refusal.message


@pytest.mark.parametrize("retry_after_s", [float("inf"), float("nan"), -1.0, 1e300])
def test_any_retry_time_becomes_one_that_peers_accept(retry_after_s: float) -> None:
    seen = _crossed(Overloaded("busy", retry_after_s=retry_after_s))
    assert isinstance(seen, Overloaded)
    assert 0 <= seen.retry_after_s <= 3600


@given(st.text(max_size=2000))
def test_any_text_of_an_error_becomes_one_that_peers_accept(text: str) -> None:
    assert isinstance(_crossed(BadRequest(text)), BadRequest)
