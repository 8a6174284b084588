"""Blocks and headers as SCALE: what is hashed, stored and handed to the runtime."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from chain_client.devchain.errors import ScaleError
from chain_client.devchain.hashing import blake2_256
from chain_client.devchain.scale import Reader, byte_vector, compact, sequence

HASH_BYTES = 32
AURA_ENGINE = b"aura"
# Kinds of digest items.
OTHER, CONSENSUS, SEAL, PRE_RUNTIME, ENVIRONMENT_UPDATED = 0, 4, 5, 6, 8
_WITH_ENGINE = (CONSENSUS, SEAL, PRE_RUNTIME)


@dataclass(frozen=True, slots=True)
class DigestItem:
    """One entry of a header's digest; `engine` (4 bytes) is empty for kinds that have none."""

    kind: int
    engine: bytes = b""
    data: bytes = b""

    def encoded(self) -> bytes:
        """SCALE."""
        if self.kind in _WITH_ENGINE:
            return bytes((self.kind,)) + self.engine + byte_vector(self.data)
        return bytes((self.kind,)) + (byte_vector(self.data) if self.kind == OTHER else b"")

    @classmethod
    def read(cls, reader: Reader) -> DigestItem:
        """The next item."""
        kind = reader.integer(1)
        if kind in _WITH_ENGINE:
            return cls(kind, reader.take(4), reader.byte_vector())
        if kind == OTHER:
            return cls(kind, b"", reader.byte_vector())
        if kind == ENVIRONMENT_UPDATED:
            return cls(kind)
        raise ScaleError(f"{kind} is no kind of digest item")


def aura_slot(slot: int) -> DigestItem:
    """The digest item that tells the runtime which slot a block is for."""
    return DigestItem(PRE_RUNTIME, AURA_ENGINE, slot.to_bytes(8, "little"))


@dataclass(frozen=True)
class Header:
    """A block header."""

    parent_hash: bytes
    number: int
    state_root: bytes
    extrinsics_root: bytes
    digest: tuple[DigestItem, ...] = ()

    def encoded(self) -> bytes:
        """SCALE."""
        return b"".join(
            (
                self.parent_hash,
                compact(self.number),
                self.state_root,
                self.extrinsics_root,
                sequence(item.encoded() for item in self.digest),
            )
        )

    @cached_property
    def hash(self) -> bytes:
        """BLAKE2b-256 of the encoding."""
        return blake2_256(self.encoded())

    @property
    def slot(self) -> int | None:
        """The Aura slot, None in genesis."""
        for item in self.digest:
            if item.kind == PRE_RUNTIME and item.engine == AURA_ENGINE and len(item.data) == 8:
                return int.from_bytes(item.data, "little")
        return None

    @classmethod
    def read(cls, reader: Reader) -> Header:
        """The next header."""
        parent_hash, number = reader.take(HASH_BYTES), reader.compact()
        if number >= 1 << 32:
            raise ScaleError("a block number has 32 bits")
        state_root, extrinsics_root = reader.take(HASH_BYTES), reader.take(HASH_BYTES)
        digest = tuple(DigestItem.read(reader) for _ in range(reader.count()))
        return cls(parent_hash, number, state_root, extrinsics_root, digest)

    @classmethod
    def decoded(cls, data: bytes) -> Header:
        """Exactly one header."""
        reader = Reader(data)
        header = cls.read(reader)
        reader.end()
        return header


@dataclass(frozen=True)
class Block:
    """A header and its extrinsics, each with its length prefix as it travels."""

    header: Header
    extrinsics: tuple[bytes, ...]

    def encoded(self) -> bytes:
        """SCALE."""
        return self.header.encoded() + sequence(self.extrinsics)

    @classmethod
    def decoded(cls, data: bytes) -> Block:
        """Exactly one block."""
        reader = Reader(data)
        header = Header.read(reader)
        extrinsics = tuple(byte_vector(reader.byte_vector()) for _ in range(reader.count()))
        reader.end()
        return cls(header, extrinsics)
