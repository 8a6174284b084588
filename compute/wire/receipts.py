"""Step receipts: what a provider signs on every step, and how the two ends keep the same chain. Design 5.2.

The provider's end is here, the client's in `compute/client/receipt_check.py`, what proves a lie in `evidence.py`.

`in_chain_t = H(in_chain_{t-1} || in_hash_t || layout_t)`: `layout` is the canonical form of a step's rows and fork;
it binds positions, so the chain commits to every key and value that the session's cache can hold. The chain starts from
the session itself (its id, made by both ends, provider, model, span), so that a receipt cannot be moved to another one.

Canonical bytes are fixed-width, little-endian:

    receipt   session id (16) || seq u64 || position u32 || n_tokens u32 || kind u8
              || in_hash (32) || out_hash (32) || in_chain (32)
    layout    n_fork u16 || fork u16 ... || n_rows u16 || (lane u16 || position u32 || n_tokens u32) ...
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace

from compute.errors import BadMessage
from compute.identity import Signer, signed_payload
from compute.types import HASH_BYTES, SESSION_ID_BYTES, SessionId, Span, StepHeader, StepKind
from compute.wire.fields import known

DOMAIN = b"peerz/step-receipt"

_FIELDS = struct.Struct("<QIIB")
_COUNT = struct.Struct("<H")
_ROW = struct.Struct("<HII")
_SPAN = struct.Struct("<II")

RECEIPT_BODY_BYTES = SESSION_ID_BYTES + _FIELDS.size + 3 * HASH_BYTES
"""Length of `StepReceipt.body`."""


@dataclass(frozen=True, slots=True)
class SessionIdentity:
    """What a session's receipts are bound to. `session_id` is that of `receipt_session_id`."""

    session_id: SessionId
    provider_key: bytes
    network_id: bytes
    model_root: bytes
    span: Span


@dataclass(frozen=True, slots=True)
class StepReceipt:
    """A provider's signed word on one step. Hashes have 32 bytes, the signature 64."""

    seq: int
    position: int
    n_tokens: int
    kind: StepKind
    in_hash: bytes
    out_hash: bytes
    in_chain: bytes
    signature: bytes = b""

    def body(self, session_id: SessionId) -> bytes:
        """The canonical bytes, without the signature."""
        fields = _FIELDS.pack(self.seq, self.position, self.n_tokens, self.kind)
        return session_id + fields + self.in_hash + self.out_hash + self.in_chain

    def payload(self, session: SessionIdentity) -> bytes:
        """What the signature is over."""
        return receipt_payload(session.network_id, self.body(session.session_id))


def receipt_session_id(asked: SessionId, nonce: bytes) -> SessionId:
    """The id that receipts carry, of the client's id of the session and the 16 bytes that the provider drew for it.

    Neither end can choose it alone. With the client's id by itself, a client that opens two sessions under one id, one
    after the other, would hold two honest receipts of one session and step that contradict each other.
    """
    return SessionId(_hash(b"session", asked + nonce)[:SESSION_ID_BYTES])


def receipt_payload(network_id: bytes, body: bytes) -> bytes:
    """What a receipt's signature is over, given its canonical bytes."""
    return signed_payload(DOMAIN, network_id, body)


def parse_receipt_body(body: bytes, signature: bytes) -> tuple[SessionId, StepReceipt]:
    """The session and the receipt whose canonical bytes these are. Raises BadMessage."""
    if len(body) != RECEIPT_BODY_BYTES:
        raise BadMessage(f"a receipt of {len(body)} bytes; it has {RECEIPT_BODY_BYTES}")
    seq, position, n_tokens, kind = _FIELDS.unpack_from(body, SESSION_ID_BYTES)
    hashes = body[SESSION_ID_BYTES + _FIELDS.size :]
    in_hash, out_hash, in_chain = (hashes[i : i + HASH_BYTES] for i in range(0, 3 * HASH_BYTES, HASH_BYTES))
    receipt = StepReceipt(
        seq, position, n_tokens, known(StepKind, kind, "kind"), in_hash, out_hash, in_chain, signature
    )
    return SessionId(body[:SESSION_ID_BYTES]), receipt


def layout_bytes(header: StepHeader) -> bytes:
    """The canonical bytes of a step's fork and rows."""
    fork = _COUNT.pack(len(header.fork)) + struct.pack(f"<{len(header.fork)}H", *header.fork)
    rows = (_ROW.pack(row.lane, row.position, row.n_tokens) for row in header.rows)
    return fork + _COUNT.pack(len(header.rows)) + b"".join(rows)


def chain_start(session: SessionIdentity) -> bytes:
    """The chain before the first step."""
    span = _SPAN.pack(session.span.start, session.span.end)
    return _hash(b"start", session.session_id + session.provider_key + session.model_root + span)


def chain_next(chain: bytes, in_hash: bytes, header: StepHeader) -> bytes:
    return _hash(b"step", chain + in_hash + layout_bytes(header))


def _hash(purpose: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=HASH_BYTES, person=b"peerz-ch-" + purpose).digest()


class ReceiptIssuer:
    """The provider's end: one per session, one receipt per step, in order."""

    def __init__(self, session: SessionIdentity, signer: Signer) -> None:
        self._session = session
        self._signer = signer
        self._chain = chain_start(session)

    def issue(self, header: StepHeader, in_hash: bytes, out_hash: bytes) -> StepReceipt:
        """The signed receipt of the step that has just been computed; the chain moves on."""
        self._chain = chain_next(self._chain, in_hash, header)
        draft = StepReceipt(header.seq, header.position, header.n_tokens, header.kind, in_hash, out_hash, self._chain)
        return replace(draft, signature=self._signer.sign(draft.payload(self._session)))
