"""What providers lied about, kept as files: one per lie, readable by people, its evidence checkable by anybody.

A file is a JSON object of version 1: the canonical evidence in hex (`compute/wire/evidence.py`), and beside it who,
when and why in plain words. Files are private, written whole or not at all, and bounded in number and bytes. When there
is no room, an equivocation takes that of the latest wrong receipts, which prove less; otherwise what is there stays, so
that nobody can push old evidence out with new lies.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compute.client.contracts import Lie
from compute.errors import BadMessage
from compute.identity import peer_id_of
from compute.types import PeerId
from compute.wire.evidence import EVIDENCE_BYTES_MAX, Evidence, EvidenceKind, parse_evidence

logger = logging.getLogger(__name__)

RECORD_VERSION = 1
RECORD_BYTES_MAX = 4096

_REASON_CHARS_MAX = 300
_NAME_BYTES = 16
_DRAFT_SUFFIX = ".json.part"
_DRAFT_S_MAX = 60.0
"""A draft that old is of a process that died."""


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """One lie. `noted_s`: seconds since 1970, by this machine's clock; `reason`: a sentence for people."""

    evidence: bytes
    noted_s: int
    reason: str

    def to_json(self) -> bytes:
        """The file's bytes. Raises BadMessage for what is no evidence."""
        parsed = parse_evidence(self.evidence)
        fields = {
            "version": RECORD_VERSION,
            "kind": parsed.kind.name,
            "provider": _provider(parsed),
            "noted_s": self.noted_s,
            "reason": self.reason,
            "evidence": self.evidence.hex(),
        }
        return json.dumps(fields, indent=2).encode() + b"\n"


def parse_record(data: bytes) -> EvidenceRecord:
    """The record in a file's bytes, its signatures unchecked: `verify_evidence` does that. Raises BadMessage."""
    if len(data) > RECORD_BYTES_MAX:
        raise BadMessage(f"a record of evidence has at most {RECORD_BYTES_MAX} bytes")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadMessage("a record of evidence is a JSON object; this is something else") from error
    match fields:
        case {
            "version": 1,
            "kind": str(kind),
            "provider": str(provider),
            "noted_s": int(noted_s),
            "reason": str(reason),
            "evidence": str(text),
        } if len(text) <= 2 * EVIDENCE_BYTES_MAX:
            pass
        case _:
            raise BadMessage("not a record of evidence of a version that this program knows")
    try:
        evidence = bytes.fromhex(text)
    except ValueError as error:
        raise BadMessage("the evidence is not in hexadecimal digits") from error
    parsed = parse_evidence(evidence)
    if (kind, provider) != (parsed.kind.name, _provider(parsed)):
        raise BadMessage("the record says of its evidence what is not so")
    return EvidenceRecord(evidence, noted_s, reason)


def _provider(evidence: Evidence) -> PeerId:
    return peer_id_of(evidence.provider_key)


class EvidenceStore:
    """Records in a directory of their own, which is made with the first. An `EvidenceSink`.

    Args:
        records_max, bytes_max: of all records together; other files are left alone and do not count. Processes that
            share the directory may exceed them by a record each.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        directory: Path,
        records_max: int = 256,
        bytes_max: int = 1 << 20,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if records_max < 1 or bytes_max < RECORD_BYTES_MAX:
            raise ValueError(f"room for at least one record of {RECORD_BYTES_MAX} bytes")
        self._directory = directory
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._clock = clock

    def keep(self, lie: Lie) -> None:
        """Writes what `lie` carries as evidence, once however often it comes; a failure to do so is only logged.

        Waits for the disk, some milliseconds: it must outlive whatever happens next, and lies are rare.
        """
        try:
            self._keep(EvidenceRecord(lie.evidence, int(self._clock()), str(lie)[:_REASON_CHARS_MAX]))
        except (OSError, BadMessage) as error:
            logger.warning("evidence against %s is not kept in %s: %s", lie.peer, self._directory, error)

    def records(self) -> tuple[EvidenceRecord, ...]:
        """All that are kept, in the order of their files' names. Damaged ones are left out, and logged."""
        found: list[EvidenceRecord] = []
        for path in sorted(path for kind in EvidenceKind for path in self._paths(kind)):
            try:
                with path.open("rb") as file:
                    found.append(parse_record(file.read(RECORD_BYTES_MAX + 1)))
            except (OSError, BadMessage) as error:
                logger.warning("%s cannot be used: %s", path, error)
        return tuple(found)

    def _keep(self, record: EvidenceRecord) -> None:
        kind, data = parse_evidence(record.evidence).kind, record.to_json()
        name = hashlib.blake2b(record.evidence, digest_size=_NAME_BYTES).hexdigest()
        path = self._directory / f"{_prefix(kind)}{name}.json"
        if path.exists():
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_dead_drafts()
        if not self._make_room(kind, len(data)):
            logger.warning("no room in %s for more evidence; move some away to keep what comes", self._directory)
            return
        _write_whole(path, data)
        logger.warning("%s; the evidence is in %s", record.reason, path)

    def _make_room(self, kind: EvidenceKind, n_bytes: int) -> bool:
        """Whether a record of `n_bytes` fits now."""
        found = {path: path.stat() for each in EvidenceKind for path in self._paths(each)}
        total = sum(stat.st_size for stat in found.values())
        proves_less = _prefix(EvidenceKind.WRONG_RECEIPT) if kind is EvidenceKind.EQUIVOCATION else None
        lesser = [path for path in found if proves_less is not None and path.name.startswith(proves_less)]
        lesser.sort(key=lambda path: found[path].st_mtime)
        while len(found) >= self._records_max or total + n_bytes > self._bytes_max:
            if not lesser:
                return False
            latest = lesser.pop()
            latest.unlink(missing_ok=True)  # another process may make room as well
            total -= found.pop(latest).st_size
        return True

    def _paths(self, kind: EvidenceKind) -> list[Path]:
        return list(self._directory.glob(f"{_prefix(kind)}*.json"))

    def _remove_dead_drafts(self) -> None:
        for draft in self._directory.glob(f"*{_DRAFT_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                if self._clock() - draft.stat().st_mtime > _DRAFT_S_MAX:
                    draft.unlink()


def _prefix(kind: EvidenceKind) -> str:
    return kind.name.lower().replace("_", "-") + "-"


def _write_whole(path: Path, data: bytes) -> None:
    """A file that only its owner may read, on disk when this returns; in its place whole or not at all."""
    draft = path.with_name(f"{path.stem}.{secrets.token_hex(4)}{_DRAFT_SUFFIX}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
