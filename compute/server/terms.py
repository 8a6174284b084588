"""What a provider serves, and whether a SessionOpen or a step asks for just that. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compute.errors import BadRequest, Moved, SessionMismatch
from compute.types import Codec, Row, Span, StepHeader, WireDType
from compute.wire.messages import PROTOCOL_VERSION, SessionOpen, StepMessage

_HEX_SHOWN = 12


@dataclass(frozen=True, slots=True)
class ServedTerms:
    """What every session of this provider has in common.

    Args:
        provider_key: ed25519 public key, 32 bytes.
        network_id: 32 bytes.
        model_root: root of the manifest that the weights were checked against, 32 bytes.
        width: of the hidden states.
        dtypes: what hidden states may be written as: those that hold the span's own without loss.
        lanes_max: per session.
        context_max: the most tokens that a lane may hold.
        step_tokens_max: of all rows of a step together.
        message_bytes_max: of one message of a client; a step of `step_tokens_max` fits.
    """

    provider_key: bytes
    network_id: bytes
    model_root: bytes
    span: Span
    width: int
    quant_spec: str
    numeric_profile: str
    kernel_class: str
    codecs: frozenset[Codec]
    dtypes: frozenset[WireDType]
    lanes_max: int
    context_max: int
    step_tokens_max: int
    message_bytes_max: int


def check_open(request: SessionOpen, terms: ServedTerms) -> None:
    """Nothing when the session can be served.

    Raises SessionMismatch naming the first field that differs, Moved with the span that is served when the asked one is
    not inside it, BadRequest when lanes or tokens are beyond a limit.
    """
    for field, offered, served, equal in _compared(request, terms):
        if not equal:
            raise SessionMismatch(field, offered, served)
    if not terms.span.covers(request.span):
        raise Moved(
            f"blocks {request.span} are not served here; this provider serves {terms.span}: plan the route again",
            span=terms.span,
        )
    _check_bounds("lanes", request.lanes, terms.lanes_max)
    _check_bounds("max_tokens", request.max_tokens, terms.context_max)


def check_step(step: StepMessage, request: SessionOpen, terms: ServedTerms) -> None:
    """Nothing when a step keeps to what its session was opened with. Raises BadRequest.

    Positions above a lane's length are the engine's to refuse: it alone knows the lengths.
    """
    header, hidden = step.header, step.hidden
    _check_rows(header.rows, request)
    _check_fork(header, request)
    if header.n_tokens > terms.step_tokens_max:
        raise BadRequest(
            f"{header.n_tokens} tokens in a step; this provider takes {terms.step_tokens_max}: send chunks"
        )
    if (hidden.tokens, hidden.width) != (header.n_tokens, terms.width):
        raise BadRequest(
            f"the tensor is [{hidden.tokens}, {hidden.width}], "
            f"where rows and model ask for [{header.n_tokens}, {terms.width}]"
        )
    if (hidden.codec, hidden.dtype) != (request.codec, request.dtype):
        raise BadRequest(
            f"the tensor is {hidden.codec.name} {hidden.dtype.name}; "
            f"the session was opened with {request.codec.name} {request.dtype.name}"
        )


def _compared(request: SessionOpen, terms: ServedTerms) -> Iterator[tuple[str, str, str, bool]]:
    """(field, what the session asks for, what is served, whether they agree), in the order in which they are told."""
    yield "version", str(request.version), str(PROTOCOL_VERSION), request.version == PROTOCOL_VERSION
    for field in ("network_id", "provider_key", "model_root"):
        offered, served = getattr(request, field), getattr(terms, field)
        yield field, _short(offered), _short(served), offered == served
    for field in ("quant_spec", "numeric_profile"):
        asked, serving = getattr(request, field), getattr(terms, field)
        yield field, repr(asked), repr(serving), asked in ("", serving)
    yield "codec", request.codec.name, _names(terms.codecs), request.codec in terms.codecs
    yield "dtype", request.dtype.name, _names(terms.dtypes), request.dtype in terms.dtypes


def _check_bounds(field: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise BadRequest(f"{field} is {value}; this provider takes 1 to {most}")


def _short(value: bytes) -> str:
    return value.hex()[:_HEX_SHOWN] + "…"


def _names(members: frozenset[Codec] | frozenset[WireDType]) -> str:
    return " or ".join(sorted(member.name for member in members))


def _check_rows(rows: Sequence[Row], request: SessionOpen) -> None:
    above = -1
    for row in rows:
        if not above < row.lane < request.lanes:
            raise BadRequest(f"lane {row.lane} is out of order, repeated, or not below {request.lanes}")
        if row.position < 0 or row.n_tokens < 0 or row.position + row.n_tokens > request.max_tokens:
            raise BadRequest(
                f"lane {row.lane} would reach position {row.position + row.n_tokens}; "
                f"the session was opened for {request.max_tokens} tokens"
            )
        above = row.lane


def _check_fork(header: StepHeader, request: SessionOpen) -> None:
    if not header.rows and not header.fork:
        raise BadRequest("a step without rows and without a fork does nothing")
    if len(header.fork) > request.lanes:
        raise BadRequest(f"a fork to {len(header.fork)} lanes; the session was opened with {request.lanes}")
    for source in header.fork:
        if not 0 <= source < request.lanes:
            raise BadRequest(f"a fork from lane {source}, which is not below {request.lanes}")
