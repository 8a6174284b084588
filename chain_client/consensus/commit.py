"""A validator's row for an epoch, and the hash that commits to it before anybody may see it."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from chain_client.consensus.hashing import blake2_256, compact, u32_le

DOMAIN = b"peerz/att/v1"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a validator found of one member: its index, accepted units, capacity in units per epoch, faults."""

    member: int
    units: int
    capacity: int
    faults: int

    def encode(self) -> bytes:
        """SCALE. Raises struct.error if a figure leaves its type."""
        return struct.pack("<IQQI", self.member, self.units, self.capacity, self.faults)


@dataclass(frozen=True, slots=True)
class Row:
    """Entries by strictly increasing member, and the Merkle root over the evidence behind them."""

    entries: tuple[Entry, ...]
    evidence_root: bytes

    def encode(self) -> bytes:
        """SCALE."""
        return compact(len(self.entries)) + b"".join(entry.encode() for entry in self.entries) + self.evidence_root


def is_sorted(entries: Sequence[Entry]) -> bool:
    """Whether entries are in strictly increasing order of member."""
    return all(a.member < b.member for a, b in itertools.pairwise(entries))


def commit_hash(genesis: bytes, epoch: int, validator: bytes, row: Row, salt: bytes) -> bytes:
    """`blake2_256(SCALE(domain, genesis, epoch, validator, row, salt))`."""
    return blake2_256(DOMAIN, genesis, u32_le(epoch), validator, row.encode(), salt)
