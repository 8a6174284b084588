"""Receipts as the client checks them: whatever differs from the step has a name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.client.receipt_check import RECEIPTS_KEPT, ReceiptChecker
from compute.errors import BadReceipt, Equivocation
from compute.identity import NodeKey
from compute.types import Row, SessionId, Span, StepHeader, StepKind
from compute.wire.evidence import parse_evidence, verify_evidence
from compute.wire.receipts import (
    ReceiptIssuer,
    SessionIdentity,
    StepReceipt,
)

hashes = st.binary(min_size=32, max_size=32)
lanes = st.integers(0, 100)
rows = st.lists(st.builds(Row, lanes, st.integers(0, 2**20), st.integers(0, 2048)), max_size=4).map(tuple)
forks = st.lists(lanes, max_size=4).map(tuple)
headers = st.builds(StepHeader, st.just(0), rows, forks)
IN, OUT = b"\x01" * 32, b"\x02" * 32


def decode_header(seq: int, position: int | None = None) -> StepHeader:
    return StepHeader(seq, (Row(0, seq if position is None else position, 1),))


def resigned(receipt: StepReceipt, session: SessionIdentity, key: NodeKey) -> StepReceipt:
    return replace(receipt, signature=key.sign(receipt.payload(session)))


@pytest.fixture(scope="session")
def provider_key() -> NodeKey:
    return NodeKey(bytes(range(32)))


@pytest.fixture(scope="session")
def session(provider_key: NodeKey) -> SessionIdentity:
    return SessionIdentity(SessionId(bytes(range(16))), provider_key.public_key, bytes(32), b"\x07" * 32, Span(3, 15))


@given(st.lists(st.tuples(rows, forks, hashes, hashes), max_size=6))
def test_the_two_ends_keep_the_same_chain(steps: list[tuple[Any, ...]]) -> None:
    key = NodeKey(bytes(32))
    session = SessionIdentity(SessionId(bytes(16)), key.public_key, bytes(32), bytes(32), Span(0, 2))
    issuer, checker = ReceiptIssuer(session, key), ReceiptChecker(session)
    for seq, (step_rows, fork, in_hash, out_hash) in enumerate(steps):
        header = StepHeader(seq, step_rows, fork)
        checker.check(issuer.issue(header, in_hash, out_hash), header, in_hash, out_hash)


ALTERED: dict[str, Any] = {
    "seq": 1,
    "position": 9,
    "n_tokens": 2,
    "kind": StepKind.PREFILL,
    "in_hash": b"\x09" * 32,
    "out_hash": b"\x09" * 32,
    "in_chain": b"\x09" * 32,
    "signature": b"\x09" * 64,
}


@pytest.mark.parametrize("field", ALTERED)
def test_an_altered_field_breaks_the_signature(field: str, session: SessionIdentity, provider_key: NodeKey) -> None:
    header = decode_header(0)
    receipt = ReceiptIssuer(session, provider_key).issue(header, IN, OUT)
    altered = replace(receipt, **{field: ALTERED[field]})
    with pytest.raises(BadReceipt, match="signature") as caught:
        ReceiptChecker(session).check(altered, header, IN, OUT)
    assert parse_evidence(caught.value.evidence).receipts == (altered,)


@pytest.mark.parametrize("field", [f for f in ALTERED if f != "signature"])
def test_a_wrong_field_is_refused_however_well_it_is_signed(
    field: str, session: SessionIdentity, provider_key: NodeKey
) -> None:
    header = decode_header(0)
    receipt = ReceiptIssuer(session, provider_key).issue(header, IN, OUT)
    wrong = resigned(replace(receipt, **{field: ALTERED[field]}), session, provider_key)
    with pytest.raises(BadReceipt, match=f"its {field} is not"):
        ReceiptChecker(session).check(wrong, header, IN, OUT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("session_id", SessionId(b"\x09" * 16)),
        ("network_id", b"\x09" * 32),
        ("model_root", b"\x09" * 32),
        ("span", Span(3, 14)),
        ("provider_key", NodeKey(b"\x09" * 32).public_key),
    ],
)
def test_a_receipt_cannot_be_moved_to_another_session(
    field: str, value: Any, session: SessionIdentity, provider_key: NodeKey
) -> None:
    header = decode_header(0)
    receipt = ReceiptIssuer(session, provider_key).issue(header, IN, OUT)
    with pytest.raises(BadReceipt):
        ReceiptChecker(replace(session, **{field: value})).check(receipt, header, IN, OUT)


def test_a_refused_receipt_leaves_the_chain_where_it_was(session: SessionIdentity, provider_key: NodeKey) -> None:
    issuer, checker = ReceiptIssuer(session, provider_key), ReceiptChecker(session)
    header = decode_header(0)
    receipt = issuer.issue(header, IN, OUT)
    with pytest.raises(BadReceipt):
        checker.check(receipt, header, IN, IN)
    checker.check(receipt, header, IN, OUT)


def test_a_receipt_that_comes_twice_is_wrong_but_no_equivocation(
    session: SessionIdentity, provider_key: NodeKey
) -> None:
    issuer, checker = ReceiptIssuer(session, provider_key), ReceiptChecker(session)
    first = issuer.issue(decode_header(0), IN, OUT)
    checker.check(first, decode_header(0), IN, OUT)
    with pytest.raises(BadReceipt, match="its seq is not"):
        checker.check(first, decode_header(1), IN, OUT)


@pytest.mark.parametrize("steps_later", [1, 2, 10])
def test_two_receipts_for_one_step_are_equivocation_with_both_as_evidence(
    steps_later: int, session: SessionIdentity, provider_key: NodeKey
) -> None:
    issuer, checker = ReceiptIssuer(session, provider_key), ReceiptChecker(session)
    first = issuer.issue(decode_header(0), IN, OUT)
    checker.check(first, decode_header(0), IN, OUT)
    for seq in range(1, steps_later):
        checker.check(issuer.issue(decode_header(seq), IN, OUT), decode_header(seq), IN, OUT)
    second = resigned(replace(first, out_hash=b"\x03" * 32), session, provider_key)
    with pytest.raises(Equivocation) as caught:
        checker.check(second, decode_header(steps_later), IN, OUT)
    assert set(verify_evidence(caught.value.evidence).receipts) == {first, second}


def test_a_forged_second_receipt_is_no_equivocation(session: SessionIdentity, provider_key: NodeKey) -> None:
    checker = ReceiptChecker(session)
    first = ReceiptIssuer(session, provider_key).issue(decode_header(0), IN, OUT)
    checker.check(first, decode_header(0), IN, OUT)
    forged = resigned(replace(first, out_hash=b"\x03" * 32), session, NodeKey(b"\x09" * 32))
    with pytest.raises(BadReceipt, match="signature"):
        checker.check(forged, decode_header(1), IN, OUT)


def test_a_long_session_keeps_a_bounded_number_of_receipts(session: SessionIdentity, provider_key: NodeKey) -> None:
    issuer, checker = ReceiptIssuer(session, provider_key), ReceiptChecker(session)
    for seq in range(RECEIPTS_KEPT + 10):
        checker.check(issuer.issue(decode_header(seq), IN, OUT), decode_header(seq), IN, OUT)
    assert len(checker._accepted) == RECEIPTS_KEPT
