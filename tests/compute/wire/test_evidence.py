"""Evidence that proves a lie to anybody, and everything close to it that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import BadMessage
from compute.identity import NodeKey
from compute.types import Row, SessionId, Span, StepHeader
from compute.wire.evidence import (
    EVIDENCE_BYTES_MAX,
    EvidenceKind,
    equivocation_bytes,
    parse_evidence,
    verify_evidence,
    wrong_receipt_bytes,
)
from compute.wire.receipts import RECEIPT_BODY_BYTES, ReceiptIssuer, SessionIdentity, StepReceipt

IN, OUT = b"\x01" * 32, b"\x02" * 32
HEAD_BYTES = 66


def signed(receipt: StepReceipt, session: SessionIdentity, key: NodeKey) -> StepReceipt:
    return replace(receipt, signature=key.sign(receipt.payload(session)))


def first_receipt(session: SessionIdentity, key: NodeKey) -> StepReceipt:
    return ReceiptIssuer(session, key).issue(StepHeader(0, (Row(0, 0, 1),)), IN, OUT)


@pytest.fixture
def pair(session: SessionIdentity, provider_key: NodeKey) -> tuple[StepReceipt, StepReceipt]:
    one = first_receipt(session, provider_key)
    return one, signed(replace(one, out_hash=b"\x03" * 32), session, provider_key)


def test_the_pair_is_proof_whichever_came_first(session: SessionIdentity, pair: Any) -> None:
    data = equivocation_bytes(session, *pair)
    assert data == equivocation_bytes(session, *reversed(pair))
    proven = verify_evidence(data)
    assert (proven.kind, proven.provider_key) == (EvidenceKind.EQUIVOCATION, session.provider_key)
    assert (proven.network_id, proven.session_id) == (session.network_id, session.session_id)
    assert proven.receipts == pair
    assert len(data) == EVIDENCE_BYTES_MAX == HEAD_BYTES + 2 * (RECEIPT_BODY_BYTES + 64)


def test_one_receipt_twice_proves_nothing(session: SessionIdentity, pair: Any) -> None:
    with pytest.raises(BadMessage, match="same one twice"):
        verify_evidence(equivocation_bytes(session, pair[0], pair[0]))


def test_a_second_signature_of_the_same_receipt_proves_nothing(session: SessionIdentity, pair: Any) -> None:
    resigned = replace(pair[0], signature=b"\x05" * 64)
    with pytest.raises(BadMessage, match="same one twice"):
        verify_evidence(equivocation_bytes(session, pair[0], resigned))


def test_receipts_of_two_steps_prove_nothing(session: SessionIdentity, provider_key: NodeKey, pair: Any) -> None:
    later = signed(replace(pair[0], seq=1), session, provider_key)
    with pytest.raises(BadMessage, match="different steps"):
        verify_evidence(equivocation_bytes(session, pair[0], later))


def test_receipts_of_two_sessions_prove_nothing(session: SessionIdentity, provider_key: NodeKey, pair: Any) -> None:
    elsewhere = replace(session, session_id=SessionId(b"\x09" * 16))
    other = first_receipt(elsewhere, provider_key)
    data = wrong_receipt_bytes(session, pair[0])
    data += wrong_receipt_bytes(elsewhere, other)[HEAD_BYTES:]
    with pytest.raises(BadMessage, match="different sessions"):
        verify_evidence(bytes([data[0], EvidenceKind.EQUIVOCATION]) + data[2:])


@pytest.mark.parametrize("forged", [0, 1])
def test_one_forged_receipt_proves_nothing(session: SessionIdentity, pair: Any, forged: int) -> None:
    stranger = NodeKey(b"\x09" * 32)
    receipts = [signed(r, session, stranger) if i == forged else r for i, r in enumerate(pair)]
    with pytest.raises(BadMessage, match="not signed by the provider"):
        verify_evidence(equivocation_bytes(session, *receipts))


def test_a_wrong_receipt_is_a_record_and_no_proof(session: SessionIdentity, pair: Any) -> None:
    data = wrong_receipt_bytes(session, pair[1])
    assert parse_evidence(data).receipts == (pair[1],)
    with pytest.raises(BadMessage, match="proves nothing"):
        verify_evidence(data)


def test_receipts_out_of_order_are_another_form_and_refused(session: SessionIdentity, pair: Any) -> None:
    data = equivocation_bytes(session, *pair)
    half = (len(data) - HEAD_BYTES) // 2
    swapped = data[:HEAD_BYTES] + data[HEAD_BYTES + half :] + data[HEAD_BYTES : HEAD_BYTES + half]
    with pytest.raises(BadMessage, match="out of order"):
        verify_evidence(swapped)


KEY = NodeKey(bytes(range(32)))
SESSION = SessionIdentity(SessionId(bytes(16)), KEY.public_key, bytes(32), bytes(32), Span(0, 2))
ONE = first_receipt(SESSION, KEY)
PROOF = equivocation_bytes(SESSION, ONE, signed(replace(ONE, out_hash=b"\x03" * 32), SESSION, KEY))


@given(st.integers(0, len(PROOF) - 1), st.integers(1, 255))
def test_no_byte_of_a_proof_can_be_changed(at: int, by: int) -> None:
    changed = PROOF[:at] + bytes([PROOF[at] ^ by]) + PROOF[at + 1 :]
    with pytest.raises(BadMessage):
        verify_evidence(changed)


@given(st.binary(max_size=EVIDENCE_BYTES_MAX + 1) | st.integers(0, len(PROOF) + 5).map(lambda n: (PROOF + PROOF)[:n]))
def test_other_bytes_are_refused_by_name(data: bytes) -> None:
    if data != PROOF:
        with pytest.raises(BadMessage):
            verify_evidence(data)


def test_golden_vector(
    check_vectors: Callable[[str, object], None], session: SessionIdentity, provider_key: NodeKey, pair: Any
) -> None:
    proof, record = equivocation_bytes(session, *pair), wrong_receipt_bytes(session, pair[1])
    made = {
        "seed": bytes(range(32)).hex(),
        "provider_key": session.provider_key.hex(),
        "network_id": session.network_id.hex(),
        "session_id": session.session_id.hex(),
        "receipts": [
            {
                "seq": receipt.seq,
                "body": receipt.body(session.session_id).hex(),
                "payload": receipt.payload(session).hex(),
                "signature": receipt.signature.hex(),
            }
            for receipt in pair
        ],
        "equivocation": proof.hex(),
        "wrong_receipt": record.hex(),
    }
    check_vectors("evidence", made)
    assert verify_evidence(proof).receipts == pair
