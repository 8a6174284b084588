"""Work roots and proofs of what is under them, by hand: leaf `H(0 || data)`, node `H(1 || left || right)`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from tests.e2e.chain.story import as_hex

UNITS = 100


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return _hash(b"\1" + left + right)


@dataclass(frozen=True)
class FourSessions:
    """A tree over four sessions, each named by one byte."""

    names: bytes

    def _leaf(self, position: int) -> tuple[bytes, bytes]:
        """The session's id, and the root over its receipts."""
        name = self.names[position : position + 1]
        return name * 16, name * 32

    @property
    def _hashes(self) -> list[bytes]:
        leaves = (self._leaf(position) for position in range(4))
        return [_hash(b"\0" + session + UNITS.to_bytes(8, "little") + receipts) for session, receipts in leaves]

    @property
    def root(self) -> bytes:
        a, b, c, d = self._hashes
        return _node(_node(a, b), _node(c, d))

    def posted(self) -> dict[str, Any]:
        """The arguments of `submit_work_root`."""
        return {"root": as_hex(self.root), "sessions": 4}

    def proof(self, position: int, claimed_position: int | None = None, skipped: int = 0) -> dict[str, Any]:
        """The session at `position` proved; a false one claims another position, or leaves out lowest siblings."""
        a, b, c, d = self._hashes
        session, receipts = self._leaf(position)
        siblings = [(b, a, d, c)[position], _node(c, d) if position < 2 else _node(a, b)]
        return {
            "leaf": {"session": as_hex(session), "units": UNITS, "receipts": as_hex(receipts)},
            "position": position if claimed_position is None else claimed_position,
            "siblings": ([as_hex(sibling) for sibling in siblings[skipped:]],),
        }
