"""What a provider says of itself in the DHT, signed by its node key. Design 4.3.

A record is short-lived: TTL_S after it was signed nobody believes it any more. Its owner is the key inside it, whose
hash is the peer id under which the DHT files it, so a record can be neither forged nor moved to another peer, another
model or another network.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

from google.protobuf.message import DecodeError

from compute.errors import BadMessage, RecordInvalid
from compute.identity import (
    NETWORK_ID_BYTES,
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    Signer,
    peer_id_of,
    signed_payload,
    verify,
)
from compute.types import HASH_BYTES, Codec, PeerId, Span, WireDType
from compute.wire import peerz_pb2 as pb
from compute.wire.fields import parse_codec, parse_dtype, parse_span, parse_text, span_message

TTL_S = 45.0
REFRESH_S = 15.0
RECORD_BYTES_MAX = 4096

_DOMAIN = b"peerz/provider-record"
_VERSION = 1
_ADDRESSES_MAX = 16
_BLOCKS_MAX = 4096
_CLOCK_SKEW_S = 30.0


class PeerState(IntEnum):
    """Numbers are those of the protobuf enum."""

    JOINING = 1
    ONLINE = 2
    LEAVING = 3


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """One provider and one model; see `peerz.proto` for the units of the measured figures."""

    public_key: bytes
    network_id: bytes
    model_root: bytes
    model_name: str
    span: Span
    n_blocks: int
    state: PeerState
    expires_at_ms: int
    addresses: tuple[str, ...] = ()
    quant_spec: str = ""
    numeric_profile: str = ""
    kernel_class: str = ""
    codecs: tuple[Codec, ...] = (Codec.RAW,)
    dtype: WireDType = WireDType.FP32
    decode_us: int = 0
    prefill_tokens_s: int = 0
    queue_us: int = 0
    cache_bytes_free: int = 0
    cache_bytes_per_token: int = 0
    sessions: int = 0
    adapters: tuple[str, ...] = ()
    binding: bytes = b""
    agent: str = ""

    @property
    def peer_id(self) -> PeerId:
        return _peer_id_of(self.public_key)

    @property
    def expires_at_s(self) -> float:
        return self.expires_at_ms / 1000


@lru_cache(maxsize=1 << 15)
def _peer_id_of(public_key: bytes) -> PeerId:
    """Remembered, because base58 would be most of the cost of sorting and routing over thousands of records."""
    return peer_id_of(public_key)


def seal_record(record: ProviderRecord, signer: Signer) -> bytes:
    """The record, signed. `signer` must hold the record's own key."""
    if record.public_key != signer.public_key:
        raise ValueError("a record is signed by the key that it names")
    body = _to_proto(record).SerializeToString()
    signature = signer.sign(signed_payload(_DOMAIN, record.network_id, body))
    return pb.SignedRecord(record=body, signature=signature).SerializeToString()


def open_record(data: bytes, now_s: float, network_id: bytes) -> ProviderRecord:
    """The record inside `data`. Raises RecordInvalid for whatever is malformed, forged, stale or of another network."""
    if len(data) > RECORD_BYTES_MAX:
        raise RecordInvalid(f"a record of {len(data)} bytes; at most {RECORD_BYTES_MAX} are allowed")
    signed, message = pb.SignedRecord(), pb.ProviderRecord()
    try:
        signed.ParseFromString(data)
        message.ParseFromString(signed.record)
        record = _from_proto(message)
    except (DecodeError, ValueError, BadMessage) as error:
        raise RecordInvalid(f"a malformed record: {error}") from error
    if record.network_id != network_id:
        raise RecordInvalid("a record of another network", peer=record.peer_id)
    if len(signed.signature) != SIGNATURE_BYTES or not verify(
        record.public_key, signed_payload(_DOMAIN, network_id, signed.record), signed.signature
    ):
        raise RecordInvalid("a record that its owner did not sign", evidence=data, peer=record.peer_id)
    if not now_s < record.expires_at_s <= now_s + TTL_S + _CLOCK_SKEW_S:
        raise RecordInvalid("a record that has expired, or claims to live too long", peer=record.peer_id)
    return record


def _to_proto(record: ProviderRecord) -> pb.ProviderRecord:
    codecs: Any = list(record.codecs)
    state: Any = record.state.value
    dtype: Any = record.dtype.value
    return pb.ProviderRecord(
        version=_VERSION,
        public_key=record.public_key,
        network_id=record.network_id,
        model_root=record.model_root,
        model_name=record.model_name,
        span=span_message(record.span),
        n_blocks=record.n_blocks,
        state=state,
        addresses=record.addresses,
        quant_spec=record.quant_spec,
        numeric_profile=record.numeric_profile,
        kernel_class=record.kernel_class,
        codecs=codecs,
        dtype=dtype,
        decode_us=record.decode_us,
        prefill_tokens_s=record.prefill_tokens_s,
        queue_us=record.queue_us,
        cache_bytes_free=record.cache_bytes_free,
        cache_bytes_per_token=record.cache_bytes_per_token,
        sessions=record.sessions,
        adapters=record.adapters,
        binding=record.binding,
        agent=record.agent,
        expires_at_ms=record.expires_at_ms,
    )


def _from_proto(message: pb.ProviderRecord) -> ProviderRecord:
    if message.version != _VERSION:
        raise BadMessage(f"version {message.version}")
    lengths = (
        (message.public_key, PUBLIC_KEY_BYTES),
        (message.network_id, NETWORK_ID_BYTES),
        (message.model_root, HASH_BYTES),
    )
    if any(len(value) != length for value, length in lengths) or len(message.addresses) > _ADDRESSES_MAX:
        raise BadMessage("a key, hash or list of another length")
    span = parse_span(message.span)
    if not span.end <= message.n_blocks <= _BLOCKS_MAX:
        raise BadMessage("a span beyond the model")
    return ProviderRecord(
        public_key=message.public_key,
        network_id=message.network_id,
        model_root=message.model_root,
        model_name=parse_text(message.model_name, "model_name"),
        span=span,
        n_blocks=message.n_blocks,
        state=PeerState(message.state),
        expires_at_ms=message.expires_at_ms,
        addresses=tuple(parse_text(address, "address") for address in message.addresses),
        quant_spec=parse_text(message.quant_spec, "quant_spec"),
        numeric_profile=parse_text(message.numeric_profile, "numeric_profile"),
        kernel_class=parse_text(message.kernel_class, "kernel_class"),
        codecs=tuple(parse_codec(codec) for codec in message.codecs),
        dtype=parse_dtype(message.dtype),
        decode_us=message.decode_us,
        prefill_tokens_s=message.prefill_tokens_s,
        queue_us=message.queue_us,
        cache_bytes_free=message.cache_bytes_free,
        cache_bytes_per_token=message.cache_bytes_per_token,
        sessions=message.sessions,
        adapters=tuple(parse_text(adapter, "adapter") for adapter in message.adapters),
        binding=message.binding,
        agent=parse_text(message.agent, "agent"),
    )
