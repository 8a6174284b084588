"""The few SCALE coders that a host needs: compact integers, byte vectors, options, little-endian integers.

Format: https://docs.polkadot.com/polkadot-protocol/parachain-basics/data-encoding/
"""

from __future__ import annotations

from collections.abc import Iterable

from chain_client.devchain.errors import ScaleError


def compact(value: int) -> bytes:
    """A non-negative integer below 2^536 as SCALE compact."""
    if value < 0:
        raise ScaleError("a compact integer is not negative")
    if value < 1 << 6:
        return bytes((value << 2,))
    if value < 1 << 14:
        return (value << 2 | 1).to_bytes(2, "little")
    if value < 1 << 30:
        return (value << 2 | 2).to_bytes(4, "little")
    length = (value.bit_length() + 7) // 8
    if length > 67:
        raise ScaleError("a compact integer has at most 67 bytes")
    return bytes(((length - 4) << 2 | 3,)) + value.to_bytes(length, "little")


def byte_vector(value: bytes) -> bytes:
    """`Vec<u8>`: its length as compact, then the bytes."""
    return compact(len(value)) + value


def option(value: bytes | None) -> bytes:
    """`Option<T>` of an already encoded `T`."""
    return b"\0" if value is None else b"\1" + value


def sequence(items: Iterable[bytes]) -> bytes:
    """`Vec<T>` of already encoded items."""
    encoded = list(items)
    return compact(len(encoded)) + b"".join(encoded)


class Reader:
    """Reads SCALE values from `data`, front to back. Every read raises `ScaleError` past the end."""

    __slots__ = ("_data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data = data
        self.position = position

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self.position

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self.position + count
        if count < 0 or end > len(self._data):
            raise ScaleError(f"{count} bytes wanted, {self.left} left")
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def rest(self) -> bytes:
        """Everything not read yet."""
        return self.take(self.left)

    def integer(self, size: int) -> int:
        """A little-endian unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def compact(self) -> int:
        """A compact integer; an encoding longer than needed is refused."""
        first = self.integer(1)
        mode = first & 3
        if mode == 3:
            length = (first >> 2) + 4
            value = self.integer(length)
            if value < 1 << 30 or value.bit_length() <= 8 * (length - 1):
                raise ScaleError("a compact integer in more bytes than it needs")
            return value
        if mode == 0:
            return first >> 2
        length = 2 if mode == 1 else 4
        value = (first | self.integer(length - 1) << 8) >> 2
        if value < 1 << (6 if mode == 1 else 14):
            raise ScaleError("a compact integer in more bytes than it needs")
        return value

    def byte_vector(self) -> bytes:
        """`Vec<u8>`."""
        return self.take(self.compact())

    def count(self, least_size: int = 1) -> int:
        """The length of a `Vec` whose items have at least `least_size` bytes: no count that cannot be there."""
        count = self.compact()
        if count * least_size > self.left:
            raise ScaleError(f"{count} items cannot stand in {self.left} bytes")
        return count

    def boolean(self) -> bool:
        """One byte, 0 or 1; also the tag of an `Option`."""
        tag = self.integer(1)
        if tag > 1:
            raise ScaleError(f"{tag} is no boolean")
        return tag == 1

    def end(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise ScaleError(f"{self.left} bytes too many")
