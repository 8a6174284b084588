"""What a client keeps of a provider's lie, as bytes that anybody can check. Without I/O.

Evidence is fixed-width and stands on its own: it names the key and the network, and holds whole receipts.

    version u8 || kind u8 || provider key (32) || network id (32) || (receipt body (129) || signature (64)) ...

`EQUIVOCATION` has two receipts, their bodies in rising byte order, so that one pair has one form. It is a proof:
`verify_evidence` needs nothing else. `WRONG_RECEIPT` has the one receipt that did not fit its step. What the step was
is known to its client alone, so that is a record and proves nothing to others; its signature may be the wrong part.

A proof says that one key signed two things for one `(session, seq)`. No client can bring an honest provider there by
opening two sessions under one id: the id in receipts is made by both ends (`receipt_session_id`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from compute.errors import BadMessage
from compute.identity import NETWORK_ID_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, verify
from compute.types import SessionId
from compute.wire.receipts import RECEIPT_BODY_BYTES, SessionIdentity, StepReceipt, parse_receipt_body, receipt_payload

EVIDENCE_VERSION = 1

_HEAD_BYTES = 2 + PUBLIC_KEY_BYTES + NETWORK_ID_BYTES
_SIGNED_BYTES = RECEIPT_BODY_BYTES + SIGNATURE_BYTES


class EvidenceKind(IntEnum):
    EQUIVOCATION = 1
    """Two signed receipts for one `(session, seq)`."""
    WRONG_RECEIPT = 2
    """A receipt that was not that of its step, or not signed by the provider."""


_RECEIPTS = {EvidenceKind.EQUIVOCATION: 2, EvidenceKind.WRONG_RECEIPT: 1}

EVIDENCE_BYTES_MAX = _HEAD_BYTES + max(_RECEIPTS.values()) * _SIGNED_BYTES


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence, read. Receipts are those of session `session_id`, each with its signature."""

    kind: EvidenceKind
    provider_key: bytes
    network_id: bytes
    session_id: SessionId
    receipts: tuple[StepReceipt, ...]


def equivocation_bytes(session: SessionIdentity, one: StepReceipt, other: StepReceipt) -> bytes:
    """The evidence that `one` and `other` were both signed for the same step; their order does not matter."""
    return _bytes_of(EvidenceKind.EQUIVOCATION, session, one, other)


def wrong_receipt_bytes(session: SessionIdentity, receipt: StepReceipt) -> bytes:
    """The record of a receipt that does not check."""
    return _bytes_of(EvidenceKind.WRONG_RECEIPT, session, receipt)


def _bytes_of(kind: EvidenceKind, session: SessionIdentity, *receipts: StepReceipt) -> bytes:
    head = bytes([EVIDENCE_VERSION, kind]) + session.provider_key + session.network_id
    return head + b"".join(sorted(receipt.body(session.session_id) + receipt.signature for receipt in receipts))


def parse_evidence(data: bytes) -> Evidence:
    """What `data` says, its signatures unchecked. Raises BadMessage unless it is evidence of one provider and session.

    Every accepted `data` is the only form of what it says.
    """
    if len(data) < _HEAD_BYTES or data[0] != EVIDENCE_VERSION:
        raise BadMessage("these bytes are no evidence of a version that this program knows")
    try:
        kind = EvidenceKind(data[1])
    except ValueError:
        raise BadMessage(f"evidence of the unknown kind {data[1]}") from None
    if len(data) != _HEAD_BYTES + _RECEIPTS[kind] * _SIGNED_BYTES:
        raise BadMessage(f"evidence of {len(data)} bytes, which is not the length of its kind")
    receipts: list[StepReceipt] = []
    sessions: set[SessionId] = set()
    for start in range(_HEAD_BYTES, len(data), _SIGNED_BYTES):
        body, signature = data[start : start + RECEIPT_BODY_BYTES], data[start + RECEIPT_BODY_BYTES :][:SIGNATURE_BYTES]
        session_id, receipt = parse_receipt_body(body, signature)
        sessions.add(session_id)
        receipts.append(receipt)
    if len(sessions) != 1:
        raise BadMessage("the receipts are of different sessions")
    session_id = sessions.pop()
    bodies = [receipt.body(session_id) for receipt in receipts]
    if bodies != sorted(set(bodies)):
        raise BadMessage("the receipts are the same one twice, or out of order")
    key_end = 2 + PUBLIC_KEY_BYTES
    return Evidence(kind, data[2:key_end], data[key_end:_HEAD_BYTES], session_id, tuple(receipts))


def verify_evidence(data: bytes) -> Evidence:
    """What `data` proves: two different receipts for one `(session, seq)`, both signed by `provider_key`.

    Raises BadMessage when it does not prove that, whatever else it may be.
    """
    evidence = parse_evidence(data)
    if evidence.kind is not EvidenceKind.EQUIVOCATION:
        raise BadMessage("a single receipt proves nothing to who does not know its step")
    if len({receipt.seq for receipt in evidence.receipts}) != 1:
        raise BadMessage("the receipts are of different steps")
    for receipt in evidence.receipts:
        payload = receipt_payload(evidence.network_id, receipt.body(evidence.session_id))
        if not verify(evidence.provider_key, payload, receipt.signature):
            raise BadMessage("a receipt is not signed by the provider that the evidence names")
    return evidence
