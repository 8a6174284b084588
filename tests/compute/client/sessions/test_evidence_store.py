"""Evidence in files: whole, private, bounded, once."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.client.evidence import RECORD_BYTES_MAX, EvidenceRecord, EvidenceStore, parse_record
from compute.errors import BadMessage, BadReceipt, Equivocation
from compute.identity import NO_CHAIN, NodeKey
from compute.types import Row, SessionId, Span, StepHeader
from compute.wire.evidence import equivocation_bytes, verify_evidence, wrong_receipt_bytes
from compute.wire.receipts import ReceiptIssuer, SessionIdentity

KEY = NodeKey(b"k" * 32)
NOW_S = 1_700_000_000.5


def equivocation(n: int) -> Equivocation:
    session = SessionIdentity(SessionId(n.to_bytes(16)), KEY.public_key, NO_CHAIN, bytes(32), Span(0, 2))
    one = ReceiptIssuer(session, KEY).issue(StepHeader(0, (Row(0, 0, 1),)), bytes(32), bytes(32))
    other = replace(one, out_hash=b"\x01" * 32)
    other = replace(other, signature=KEY.sign(other.payload(session)))
    return Equivocation("two receipts", evidence=equivocation_bytes(session, one, other), peer=KEY.peer_id)


def wrong_receipt(n: int) -> BadReceipt:
    session = SessionIdentity(SessionId(n.to_bytes(16)), KEY.public_key, NO_CHAIN, bytes(32), Span(0, 2))
    receipt = ReceiptIssuer(session, KEY).issue(StepHeader(0, (Row(0, 0, 1),)), bytes(32), bytes(32))
    return BadReceipt("wrong", evidence=wrong_receipt_bytes(session, receipt), peer=KEY.peer_id)


@pytest.fixture
def store_of(tmp_path: Path) -> Callable[..., EvidenceStore]:
    def make(**bounds: int) -> EvidenceStore:
        return EvidenceStore(tmp_path / "evidence", clock=lambda: NOW_S, **bounds)

    return make


def kinds(directory: Path) -> list[str]:
    return sorted(path.name.rpartition("-")[0] for path in (directory / "evidence").glob("*"))


def test_what_is_kept_is_proof_to_whoever_reads_the_file(store_of: Any, tmp_path: Path) -> None:
    lie = equivocation(1)
    store_of().keep(lie)
    (path,) = (tmp_path / "evidence").iterdir()
    record = parse_record(path.read_bytes())
    assert record == EvidenceRecord(lie.evidence, int(NOW_S), "two receipts")
    assert verify_evidence(record.evidence).provider_key == KEY.public_key
    fields = json.loads(path.read_text())
    assert (fields["version"], fields["kind"], fields["provider"]) == (1, "EQUIVOCATION", KEY.peer_id)
    assert store_of().records() == (record,)


def test_files_are_private(store_of: Any, tmp_path: Path) -> None:
    store_of().keep(wrong_receipt(1))
    (path,) = (tmp_path / "evidence").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_nothing_is_made_before_the_first_lie(store_of: Any, tmp_path: Path) -> None:
    assert store_of().records() == ()
    assert list(tmp_path.iterdir()) == []


def test_the_same_lie_is_kept_once(store_of: Any, tmp_path: Path) -> None:
    for _ in range(3):
        store_of().keep(equivocation(1))
    assert kinds(tmp_path) == ["equivocation"]


def test_a_full_store_keeps_what_it_has_and_says_so(
    store_of: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_of(records_max=2)
    for n in range(3):
        store.keep(wrong_receipt(n))
    kept = {record.evidence for record in store.records()}
    assert kept == {wrong_receipt(n).evidence for n in range(2)}
    assert "no room" in caplog.text


def test_a_proof_takes_the_place_of_the_latest_mere_record(store_of: Any, tmp_path: Path) -> None:
    store = store_of(records_max=2)
    store.keep(wrong_receipt(0))
    (first,) = (tmp_path / "evidence").iterdir()
    os.utime(first, (1, 1))
    store.keep(wrong_receipt(1))
    store.keep(equivocation(2))
    assert kinds(tmp_path) == ["equivocation", "wrong-receipt"]
    assert first.exists()
    store.keep(equivocation(3))
    store.keep(equivocation(4))
    assert {record.evidence for record in store.records()} == {equivocation(n).evidence for n in (2, 3)}


def test_files_that_come_and_go_meanwhile_are_no_trouble(
    store_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes a record, and makes room too, while this one looks for room."""
    store = store_of(records_max=2)
    for n in range(2):
        store.keep(wrong_receipt(n))
    look = EvidenceStore._paths

    def look_and_change(self: EvidenceStore, kind: Any) -> list[Path]:
        found = look(self, kind)
        (tmp_path / "evidence" / f"wrong-receipt-{len(list(tmp_path.rglob('*')))}.json").write_bytes(b"{}")
        return found

    monkeypatch.setattr(EvidenceStore, "_paths", look_and_change)
    store.keep(equivocation(3))
    monkeypatch.undo()
    assert equivocation(3).evidence in {record.evidence for record in store.records()}


def test_bytes_are_bounded_too(store_of: Any, tmp_path: Path) -> None:
    store = store_of(bytes_max=RECORD_BYTES_MAX)
    for n in range(20):
        store.keep(equivocation(n))
    files = list((tmp_path / "evidence").iterdir())
    assert 1 <= len(files) < 20
    assert sum(path.stat().st_size for path in files) <= RECORD_BYTES_MAX


def test_other_files_are_left_alone_and_dead_drafts_removed(store_of: Any, tmp_path: Path) -> None:
    directory = tmp_path / "evidence"
    directory.mkdir()
    (directory / "notes.json").write_text("mine")
    for name, written_s in (("equivocation-1.json.part", NOW_S - 3600), ("equivocation-2.json.part", NOW_S)):
        (directory / name).write_bytes(b"half")
        os.utime(directory / name, (written_s, written_s))
    store = store_of(records_max=1)
    store.keep(equivocation(1))
    assert len(store.records()) == 1
    assert (directory / "notes.json").read_text() == "mine"
    assert [path.name for path in directory.glob("*.part")] == ["equivocation-2.json.part"]


def test_a_damaged_file_hides_no_other(store_of: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = store_of()
    store.keep(equivocation(1))
    (tmp_path / "evidence" / "equivocation-0.json").write_bytes(b"{" * 3000)
    assert [record.evidence for record in store.records()] == [equivocation(1).evidence]
    assert "cannot be used" in caplog.text


@pytest.mark.parametrize("lie", [equivocation(1), BadReceipt("without evidence")])
def test_a_disk_that_takes_nothing_ends_no_session(lie: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    EvidenceStore(tmp_path / "file" / "below").keep(lie)
    assert "is not kept" in caplog.text
    assert caplog.records[-1].levelno == logging.WARNING


@pytest.mark.parametrize("bounds", [{"records_max": 0}, {"bytes_max": RECORD_BYTES_MAX - 1}])
def test_senseless_bounds_are_refused(store_of: Any, bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="room"):
        store_of(**bounds)


GOOD = json.loads(EvidenceRecord(equivocation(1).evidence, 1, "why").to_json())


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"kind": "WRONG_RECEIPT"},
        {"provider": NodeKey(b"o" * 32).peer_id},
        {"noted_s": "1"},
        {"reason": None},
        {"evidence": "zz"},
        {"evidence": GOOD["evidence"][:-2]},
        {"evidence": GOOD["evidence"] * 3},
    ],
)
def test_a_record_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        parse_record(json.dumps({**GOOD, **changes}).encode())


@given(st.binary(max_size=200) | st.sampled_from([b"[" * 4000, b"{}", b"[]", b"1" * 4096, b" " * 5000]))
def test_other_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_record(data)
