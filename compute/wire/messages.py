"""Protobuf messages turned into domain types, and back. Every field of a peer's message is checked here, nowhere else.

`parse_*` raise BadMessage on bytes that are no message of ours. What they return is well-formed (lengths, ranges,
known numbers); whether it is *allowed now* is for the session machines to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    Refused,
    SessionMismatch,
    Unauthorised,
)
from compute.identity import NETWORK_ID_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from compute.types import (
    HASH_BYTES,
    NONCE_BYTES,
    SESSION_ID_BYTES,
    Codec,
    PeerId,
    Row,
    SessionId,
    Span,
    StepHeader,
    StepKind,
    WireDType,
)
from compute.wire import peerz_pb2 as pb
from compute.wire.codecs import EncodedTensor
from compute.wire.fields import (
    between,
    decoded,
    exactly,
    known,
    parse_codec,
    parse_dtype,
    parse_span,
    parse_text,
    span_message,
)
from compute.wire.limits import TEXT_CHARS_MAX
from compute.wire.receipts import StepReceipt

PROTOCOL_VERSION = 1

_LANES_MAX = 4096
_WIDTH_MAX = 1 << 20
_RETRY_AFTER_MS_MAX = 3_600_000


@dataclass(frozen=True, slots=True)
class SessionOpen:
    """A client asks for a session. Empty `quant_spec` or `numeric_profile` mean "any"."""

    session_id: SessionId
    client_key: bytes
    provider_key: bytes
    network_id: bytes
    model_root: bytes
    span: Span
    codec: Codec
    dtype: WireDType
    lanes: int
    max_tokens: int
    quant_spec: str = ""
    numeric_profile: str = ""
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class StepMessage:
    header: StepHeader
    hidden: EncodedTensor


@dataclass(frozen=True, slots=True)
class Keepalive:
    pass


@dataclass(frozen=True, slots=True)
class SessionClose:
    pass


ClientMessage = SessionOpen | StepMessage | Keepalive | SessionClose


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A provider takes the session, and says what it serves it with."""

    session_id: SessionId
    quant_spec: str
    numeric_profile: str
    kernel_class: str
    heartbeat_ms: int
    step_tokens_max: int
    message_bytes_max: int
    nonce: bytes
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class StepAck:
    seq: int


@dataclass(frozen=True, slots=True)
class StepOutput:
    """`compute_us`: the blocks' own time; `queue_us`: the wait before it."""

    seq: int
    hidden: EncodedTensor
    receipt: StepReceipt
    compute_us: int
    queue_us: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    queued_tokens: int
    cache_bytes_free: int
    draining: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """`field`: of a SessionOpen, that differs. `span`: what a provider that MOVED serves now."""

    code: ErrorCode
    message: str
    retry_after_ms: int = 0
    field: str = ""
    span: Span | None = None


ServerMessage = SessionOpened | StepAck | StepOutput | Heartbeat | Refusal


# ---------------------------------------------------------------- bytes to domain


def parse_client_message(data: bytes) -> ClientMessage:
    """What a client said. Raises BadMessage."""
    message = decoded(pb.ClientMessage(), data)
    match message.WhichOneof("body"):
        case "open":
            return _session_open(message.open)
        case "step":
            return _step(message.step)
        case "keepalive":
            return Keepalive()
        case "close":
            return SessionClose()
        case _:
            raise BadMessage("a message without a body that this version knows; is the peer's software newer?")


def parse_server_message(data: bytes) -> ServerMessage:
    """What a provider said. Raises BadMessage."""
    message = decoded(pb.ServerMessage(), data)
    match message.WhichOneof("body"):
        case "opened":
            return _session_opened(message.opened)
        case "ack":
            return StepAck(message.ack.seq)
        case "output":
            return _step_output(message.output)
        case "heartbeat":
            beat = message.heartbeat
            return Heartbeat(beat.queued_tokens, beat.cache_bytes_free, beat.draining)
        case "refusal":
            return _refusal(message.refusal)
        case _:
            raise BadMessage("a message without a body that this version knows; is the peer's software newer?")


def _session_open(message: pb.SessionOpen) -> SessionOpen:
    return SessionOpen(
        session_id=SessionId(exactly(message.session_id, SESSION_ID_BYTES, "session_id")),
        client_key=exactly(message.client_key, PUBLIC_KEY_BYTES, "client_key"),
        provider_key=exactly(message.provider_key, PUBLIC_KEY_BYTES, "provider_key"),
        network_id=exactly(message.network_id, NETWORK_ID_BYTES, "network_id"),
        model_root=exactly(message.model_root, HASH_BYTES, "model_root"),
        span=parse_span(message.span),
        codec=parse_codec(message.codec),
        dtype=parse_dtype(message.dtype),
        lanes=between(message.lanes, 1, _LANES_MAX, "lanes"),
        max_tokens=between(message.max_tokens, 1, 1 << 31, "max_tokens"),
        quant_spec=parse_text(message.quant_spec, "quant_spec"),
        numeric_profile=parse_text(message.numeric_profile, "numeric_profile"),
        version=message.version,
    )


def _step(message: pb.Step) -> StepMessage:
    if len(message.rows) > _LANES_MAX or len(message.fork) > _LANES_MAX:
        raise BadMessage("a step with more lanes than any session can have")
    rows = tuple(Row(between(r.lane, 0, _LANES_MAX - 1, "lane"), r.position, r.n_tokens) for r in message.rows)
    fork = tuple(between(lane, 0, _LANES_MAX - 1, "fork") for lane in message.fork)
    return StepMessage(StepHeader(message.seq, rows, fork), _tensor(message.hidden))


def _session_opened(message: pb.SessionOpened) -> SessionOpened:
    return SessionOpened(
        session_id=SessionId(exactly(message.session_id, SESSION_ID_BYTES, "session_id")),
        quant_spec=parse_text(message.quant_spec, "quant_spec"),
        numeric_profile=parse_text(message.numeric_profile, "numeric_profile"),
        kernel_class=parse_text(message.kernel_class, "kernel_class"),
        heartbeat_ms=between(message.heartbeat_ms, 10, 60_000, "heartbeat_ms"),
        step_tokens_max=between(message.step_tokens_max, 1, 1 << 31, "step_tokens_max"),
        message_bytes_max=between(message.message_bytes_max, 1024, (1 << 32) - 1, "message_bytes_max"),
        nonce=exactly(message.nonce, NONCE_BYTES, "nonce"),
        version=message.version,
    )


def _step_output(message: pb.StepOutput) -> StepOutput:
    receipt = message.receipt
    return StepOutput(
        seq=message.seq,
        hidden=_tensor(message.hidden),
        receipt=StepReceipt(
            seq=receipt.seq,
            position=receipt.position,
            n_tokens=receipt.n_tokens,
            kind=known(StepKind, receipt.kind, "kind"),
            in_hash=exactly(receipt.in_hash, HASH_BYTES, "in_hash"),
            out_hash=exactly(receipt.out_hash, HASH_BYTES, "out_hash"),
            in_chain=exactly(receipt.in_chain, HASH_BYTES, "in_chain"),
            signature=exactly(receipt.signature, SIGNATURE_BYTES, "signature"),
        ),
        compute_us=message.compute_us,
        queue_us=message.queue_us,
    )


def _refusal(message: pb.Refusal) -> Refusal:
    return Refusal(
        code=known(ErrorCode, message.code, "code"),
        message=parse_text(message.message, "message"),
        retry_after_ms=between(message.retry_after_ms, 0, _RETRY_AFTER_MS_MAX, "retry_after_ms"),
        field=parse_text(message.field, "field"),
        span=parse_span(message.span) if message.HasField("span") else None,
    )


def _tensor(message: pb.Tensor) -> EncodedTensor:
    width = between(message.width, 1, _WIDTH_MAX, "width")
    return EncodedTensor(parse_dtype(message.dtype), parse_codec(message.codec), message.tokens, width, message.data)


# ---------------------------------------------------------------- domain to bytes


def build_client_message(message: ClientMessage) -> bytes:
    match message:
        case SessionOpen():
            body = pb.ClientMessage(open=_open_message(message))
        case StepMessage():
            header = message.header
            rows = [pb.RowMsg(lane=r.lane, position=r.position, n_tokens=r.n_tokens) for r in header.rows]
            hidden = _tensor_message(message.hidden)
            body = pb.ClientMessage(step=pb.Step(seq=header.seq, rows=rows, fork=header.fork, hidden=hidden))
        case Keepalive():
            body = pb.ClientMessage(keepalive=pb.Keepalive())
        case SessionClose():
            body = pb.ClientMessage(close=pb.SessionClose())
    return body.SerializeToString()


def build_server_message(message: ServerMessage) -> bytes:
    match message:
        case SessionOpened():
            body = pb.ServerMessage(opened=_opened_message(message))
        case StepAck():
            body = pb.ServerMessage(ack=pb.StepAck(seq=message.seq))
        case StepOutput():
            body = pb.ServerMessage(output=_output_message(message))
        case Heartbeat():
            beat = pb.Heartbeat(
                queued_tokens=message.queued_tokens,
                cache_bytes_free=message.cache_bytes_free,
                draining=message.draining,
            )
            body = pb.ServerMessage(heartbeat=beat)
        case Refusal():
            body = pb.ServerMessage(refusal=_refusal_message(message))
    return body.SerializeToString()


def _open_message(message: SessionOpen) -> pb.SessionOpen:
    return pb.SessionOpen(
        version=message.version,
        session_id=message.session_id,
        client_key=message.client_key,
        provider_key=message.provider_key,
        network_id=message.network_id,
        model_root=message.model_root,
        span=span_message(message.span),
        quant_spec=message.quant_spec,
        numeric_profile=message.numeric_profile,
        codec=_number(message.codec),
        dtype=_number(message.dtype),
        lanes=message.lanes,
        max_tokens=message.max_tokens,
    )


def _opened_message(message: SessionOpened) -> pb.SessionOpened:
    return pb.SessionOpened(
        version=message.version,
        session_id=message.session_id,
        quant_spec=message.quant_spec,
        numeric_profile=message.numeric_profile,
        kernel_class=message.kernel_class,
        heartbeat_ms=message.heartbeat_ms,
        step_tokens_max=message.step_tokens_max,
        message_bytes_max=message.message_bytes_max,
        nonce=message.nonce,
    )


def _output_message(message: StepOutput) -> pb.StepOutput:
    receipt = message.receipt
    return pb.StepOutput(
        seq=message.seq,
        hidden=_tensor_message(message.hidden),
        receipt=pb.Receipt(
            seq=receipt.seq,
            position=receipt.position,
            n_tokens=receipt.n_tokens,
            kind=receipt.kind,
            in_hash=receipt.in_hash,
            out_hash=receipt.out_hash,
            in_chain=receipt.in_chain,
            signature=receipt.signature,
        ),
        compute_us=message.compute_us,
        queue_us=message.queue_us,
    )


def _refusal_message(message: Refusal) -> pb.Refusal:
    return pb.Refusal(
        code=_number(message.code),
        message=message.message,
        retry_after_ms=message.retry_after_ms,
        field=message.field,
        span=span_message(message.span) if message.span is not None else None,
    )


def _tensor_message(encoded: EncodedTensor) -> pb.Tensor:
    return pb.Tensor(
        dtype=_number(encoded.dtype),
        codec=_number(encoded.codec),
        tokens=encoded.tokens,
        width=encoded.width,
        data=encoded.data,
    )


def _number(member: Codec | WireDType | ErrorCode) -> Any:
    """The protobuf number of an enum's member; protobuf's stubs want their own classes where its runtime takes ints."""
    return member.value


# ---------------------------------------------------------------- errors across the wire


def refusal_of(error: ComputeError) -> Refusal:
    """What a peer is told of `error`: why it was refused; of our own failures only that there was one (INTERNAL)."""
    if not isinstance(error, _TOLD) or error.code is ErrorCode.INTERNAL:
        return Refusal(ErrorCode.INTERNAL, "the provider failed; try another one")
    retry_after_s = error.retry_after_s if isinstance(error, Refused) else 0.0
    return Refusal(
        code=error.code,
        message="".join(c if c.isprintable() else " " for c in str(error))[:TEXT_CHARS_MAX],
        retry_after_ms=round(1000 * min(_RETRY_AFTER_MS_MAX / 1000, max(0.0, retry_after_s))),
        field=error.field if isinstance(error, SessionMismatch) else "",
        span=error.span if isinstance(error, Moved) else None,
    )


_TOLD = (BadRequest, BadMessage, Unauthorised, Refused)

_REFUSED: dict[ErrorCode, type[Refused]] = {
    ErrorCode.CACHE_FULL: CacheFull,
    ErrorCode.OVERLOADED: Overloaded,
    ErrorCode.DRAINING: Draining,
    ErrorCode.MOVED: Moved,
}


class _MismatchSeen(SessionMismatch):
    """A SessionMismatch as the client sees it: the provider's sentence, with the field it named."""

    def __init__(self, field: str, message: str, peer: PeerId | None) -> None:
        BadRequest.__init__(self, message, peer=peer)
        self.field = field


def error_of(refusal: Refusal, peer: PeerId | None = None) -> ComputeError:
    """The error that a client raises for a provider's refusal."""
    if (refused := _REFUSED.get(refusal.code)) is not None:
        retry_after_s = refusal.retry_after_ms / 1000
        return refused(refusal.message, retry_after_s=retry_after_s, peer=peer, span=refusal.span)
    if refusal.code is ErrorCode.UNAUTHORISED:
        return Unauthorised(refusal.message, peer=peer)
    if refusal.code is ErrorCode.INTERNAL:
        return PeerInternal(refusal.message, peer=peer)
    if refusal.field:
        return _MismatchSeen(refusal.field, refusal.message, peer)
    return BadRequest(refusal.message, peer=peer)
