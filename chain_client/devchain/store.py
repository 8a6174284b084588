"""Where the chain is kept. One commit is one transaction: after a crash it is there whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from chain_client.devchain.header import Block

Changes = Mapping[bytes, bytes | None]
"""Storage writes; None deletes."""


@dataclass(frozen=True)
class Commit:
    """A block upon the head, with what takes the head's state to its own and back."""

    block: Block
    changes: Changes
    undo: Changes
    finalised: int
    """Number of the last finalised block once this is in."""
    undo_from: int
    """Undo records of blocks below this number may go."""


@dataclass(frozen=True)
class Stored:
    """What a chain starts from: its head, the state there, and how far it is final."""

    head: Block
    finalised: int
    entries: dict[bytes, bytes]


class Store(Protocol):
    """A single chain without forks. Every method raises `StoreError` when the storage fails or is damaged."""

    def load(self) -> Stored | None:
        """The head and its whole state; None when nothing was ever committed."""

    def commit(self, commit: Commit) -> None:
        """Append a block, atomically and durably. The first one is genesis: its changes are the whole state."""

    def finalise(self, number: int) -> None:
        """Block `number` and those below are final."""

    def block(self, block_hash: bytes) -> Block | None:
        """The block with this hash."""

    def hash_at(self, number: int) -> bytes | None:
        """The hash of the block with this number."""

    def undo(self, number: int) -> Changes | None:
        """What takes the state after block `number` to the one before it; None when that is pruned."""

    def close(self) -> None:
        """Let go of everything."""


class MemoryStore:
    """Keeps everything in dictionaries."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, Block] = {}
        self._hashes: list[bytes] = []
        self._undo: dict[int, Changes] = {}
        self._entries: dict[bytes, bytes] = {}
        self._finalised = 0

    def load(self) -> Stored | None:
        if not self._hashes:
            return None
        return Stored(self._blocks[self._hashes[-1]], self._finalised, dict(self._entries))

    def commit(self, commit: Commit) -> None:
        header = commit.block.header
        self._blocks[header.hash] = commit.block
        self._hashes.append(header.hash)
        self._finalised = commit.finalised
        self._undo[header.number] = commit.undo
        for number in [number for number in self._undo if number < commit.undo_from]:
            del self._undo[number]
        for key, value in commit.changes.items():
            if value is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = value

    def finalise(self, number: int) -> None:
        self._finalised = number

    def block(self, block_hash: bytes) -> Block | None:
        return self._blocks.get(block_hash)

    def hash_at(self, number: int) -> bytes | None:
        return self._hashes[number] if 0 <= number < len(self._hashes) else None

    def undo(self, number: int) -> Changes | None:
        return self._undo.get(number)

    def close(self) -> None:
        pass
