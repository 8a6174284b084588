"""What a provider serves, and whether a SessionOpen asks for just that. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compute.errors import BadRequest, Moved, SessionMismatch
from compute.types import Codec, Span, WireDType
from compute.wire.messages import PROTOCOL_VERSION, SessionOpen

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
