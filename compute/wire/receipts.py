"""Step receipts: what a provider signs on every step, and how the two ends keep the same chain. Design 5.2.

`in_chain_t = H(in_chain_{t-1} || in_hash_t || layout_t)`: `layout` is the canonical form of a step's rows and fork;
it binds positions, so the chain commits to every key and value that the session's cache can hold. The chain starts from
the session itself (id, provider, model, span), so that a receipt cannot be moved to another one.

Canonical bytes are fixed-width, little-endian:

    receipt   session id (16) || seq u64 || position u32 || n_tokens u32 || kind u8
              || in_hash (32) || out_hash (32) || in_chain (32)
    layout    n_fork u16 || fork u16 ... || n_rows u16 || (lane u16 || position u32 || n_tokens u32) ...
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace

from compute.errors import BadReceipt, Equivocation
from compute.identity import Signer, signed_payload, verify
from compute.types import HASH_BYTES, PeerId, SessionId, Span, StepHeader, StepKind

DOMAIN = b"peerz/step-receipt"
RECEIPTS_KEPT = 256
"""How many steps back a second, different receipt is still recognised as equivocation, and not only as wrong."""

_FIELDS = struct.Struct("<QIIB")
_COUNT = struct.Struct("<H")
_ROW = struct.Struct("<HII")
_SPAN = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class SessionIdentity:
    """What a session's receipts are bound to."""

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
        return signed_payload(DOMAIN, session.network_id, self.body(session.session_id))


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


class ReceiptChecker:
    """The client's end: recomputes everything that a receipt says."""

    def __init__(self, session: SessionIdentity, peer: PeerId | None = None) -> None:
        self._session = session
        self._peer = peer
        self._chain = chain_start(session)
        self._seen: dict[int, StepReceipt] = {}

    def check(self, receipt: StepReceipt, header: StepHeader, in_hash: bytes, out_hash: bytes) -> None:
        """Accepts the receipt of `header`; the chain moves on.

        Raises Equivocation when it is a second, different, validly signed receipt for a step that has one (its evidence
        holds both); BadReceipt when the signature or any field is not what was sent and received.
        """
        if not verify(self._session.provider_key, receipt.payload(self._session), receipt.signature):
            raise self._bad("its signature does not check", receipt)
        self._check_equivocation(receipt)
        chain = chain_next(self._chain, in_hash, header)
        expected = StepReceipt(header.seq, header.position, header.n_tokens, header.kind, in_hash, out_hash, chain)
        for field in ("seq", "position", "n_tokens", "kind", "in_hash", "out_hash", "in_chain"):
            if getattr(receipt, field) != getattr(expected, field):
                raise self._bad(f"its {field} is not that of the step", receipt)
        self._chain = chain
        self._seen[receipt.seq] = receipt
        self._seen.pop(receipt.seq - RECEIPTS_KEPT, None)

    def _check_equivocation(self, receipt: StepReceipt) -> None:
        earlier = self._seen.get(receipt.seq)
        if earlier is None:
            return
        session_id = self._session.session_id
        if receipt.body(session_id) != earlier.body(session_id):
            evidence = b"".join(r.payload(self._session) + r.signature for r in (earlier, receipt))
            raise Equivocation(
                f"two different signed receipts for step {receipt.seq}; the provider is left and both are kept",
                evidence=evidence,
                peer=self._peer,
                span=self._session.span,
            )

    def _bad(self, why: str, receipt: StepReceipt) -> BadReceipt:
        evidence = receipt.payload(self._session) + receipt.signature
        message = f"the receipt of step {receipt.seq} is wrong: {why}"
        return BadReceipt(message, evidence=evidence, peer=self._peer, span=self._session.span)
