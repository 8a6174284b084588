"""The form of receipts, and the chain that they bind."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from compute.errors import BadMessage
from compute.types import Row, SessionId, Span, StepHeader, StepKind
from compute.wire.receipts import (
    RECEIPT_BODY_BYTES,
    SessionIdentity,
    StepReceipt,
    chain_next,
    chain_start,
    layout_bytes,
    parse_receipt_body,
    receipt_session_id,
)

u64, u32 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
signatures = st.binary(min_size=64, max_size=64)
hashes = st.binary(min_size=32, max_size=32)
lanes = st.integers(0, 100)
rows = st.lists(st.builds(Row, lanes, st.integers(0, 2**20), st.integers(0, 2048)), max_size=4).map(tuple)
forks = st.lists(lanes, max_size=4).map(tuple)
headers = st.builds(StepHeader, st.just(0), rows, forks)


@given(st.builds(StepReceipt, u64, u32, u32, st.sampled_from(StepKind), hashes, hashes, hashes, signatures))
def test_canonical_bytes_say_all_of_a_receipt(receipt: StepReceipt) -> None:
    session_id = SessionId(b"\x05" * 16)
    body = receipt.body(session_id)
    assert len(body) == RECEIPT_BODY_BYTES
    assert parse_receipt_body(body, receipt.signature) == (session_id, receipt)


@given(st.binary(max_size=2 * RECEIPT_BODY_BYTES))
def test_other_bytes_are_no_receipt(body: bytes) -> None:
    with contextlib.suppress(BadMessage):
        session_id, receipt = parse_receipt_body(body, b"")
        assert receipt.body(session_id) == body


def test_an_unknown_kind_is_no_receipt() -> None:
    body = bytes(16) + struct.pack("<QIIB", 0, 0, 0, 99) + bytes(96)
    with pytest.raises(BadMessage, match="kind is 99"):
        parse_receipt_body(body, b"")


steps = st.tuples(hashes, headers)


def chained(history: list[tuple[bytes, StepHeader]], session: SessionIdentity) -> bytes:
    chain = chain_start(session)
    for in_hash, header in history:
        chain = chain_next(chain, in_hash, header)
    return chain


@given(st.data(), st.lists(steps, min_size=1, max_size=5))
def test_histories_that_differ_anywhere_have_different_chains(
    data: st.DataObject, history: list[tuple[bytes, StepHeader]]
) -> None:
    session = SessionIdentity(SessionId(bytes(16)), bytes(32), bytes(32), bytes(32), Span(0, 2))
    other = list(history)
    at = data.draw(st.integers(0, len(history) - 1))
    match data.draw(st.sampled_from(["drop", "insert", "replace", "swap"])):
        case "drop":
            del other[at]
        case "insert":
            other.insert(at, data.draw(steps))
        case "replace":
            other[at] = data.draw(steps)
        case "swap":
            other[at], other[-1] = other[-1], other[at]
    assume(other != history)
    assert chained(other, session) != chained(history, session)


@given(headers, headers)
def test_layouts_are_equal_only_for_equal_rows_and_forks(one: StepHeader, other: StepHeader) -> None:
    assert (layout_bytes(one) == layout_bytes(other)) == (one == other)


def test_two_sessions_under_one_id_of_the_client_carry_different_ids_in_their_receipts() -> None:
    asked = SessionId(bytes(range(16)))
    first, second = (receipt_session_id(asked, bytes([n]) * 16) for n in (1, 2))
    assert first.hex() == "66236a2b7a6b16466627f19feee71dda"
    assert len({asked, first, second}) == 3
    assert receipt_session_id(SessionId(bytes(16)), bytes([1]) * 16) != first
