"""Parameters of a call, by position: each reader checks one and says which one is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from chain_client.devchain.header import HASH_BYTES
from chain_client.devchain.rpc.errors import RpcError, invalid_params


def to_hex(data: bytes) -> str:
    """Bytes as JSON-RPC writes them."""
    return f"0x{data.hex()}"


def from_hex(text: object) -> bytes:
    """The bytes of `0x...`. Raises ValueError."""
    if not isinstance(text, str) or not text.startswith("0x"):
        raise ValueError("no hexadecimal text that begins with 0x")
    data = bytes.fromhex(text[2:])
    if 2 * len(data) != len(text) - 2:  # it leaves out spaces
        raise ValueError("no hexadecimal digits")
    return data


class Params:
    """The parameters of one call. Missing ones at the end read as null. Every reader raises -32602."""

    __slots__ = ("_values",)

    def __init__(self, values: Sequence[object]) -> None:
        self._values = values

    def get(self, index: int) -> object:
        """The parameter as it is, None when it is missing."""
        return self._values[index] if index < len(self._values) else None

    def data(self, index: int) -> bytes:
        """Bytes in hexadecimal."""
        try:
            return from_hex(self.get(index))
        except ValueError as error:
            raise self.wrong(index, str(error)) from None

    def data_or_none(self, index: int) -> bytes | None:
        """Bytes in hexadecimal, or null."""
        return None if self.get(index) is None else self.data(index)

    def hash(self, index: int) -> bytes:
        """A hash in hexadecimal."""
        value = self.data(index)
        if len(value) != HASH_BYTES:
            raise self.wrong(index, f"a hash has {HASH_BYTES} bytes")
        return value

    def hash_or_none(self, index: int) -> bytes | None:
        """A hash in hexadecimal, or null."""
        return None if self.get(index) is None else self.hash(index)

    def text(self, index: int, length_max: int = 200) -> str:
        """A string."""
        value = self.get(index)
        if not isinstance(value, str) or len(value) > length_max:
            raise self.wrong(index, f"a string of at most {length_max} characters is wanted")
        return value

    def integer(self, index: int, most: int) -> int:
        """An integer from 0 to `most`."""
        value = self.get(index)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise self.wrong(index, f"an integer from 0 to {most} is wanted")
        return value

    def boolean(self, index: int) -> bool:
        """True or false."""
        value = self.get(index)
        if not isinstance(value, bool):
            raise self.wrong(index, "true or false is wanted")
        return value

    def keys(self, index: int, most: int) -> list[bytes]:
        """A list of at most `most` storage keys."""
        values = self.get(index)
        if not isinstance(values, list) or len(values) > most:
            raise self.wrong(index, f"a list of at most {most} keys is wanted")
        try:
            return [from_hex(value) for value in values]
        except ValueError as error:
            raise self.wrong(index, str(error)) from None

    def wrong(self, index: int, reason: str) -> RpcError:
        """The error for a parameter that cannot be used."""
        return invalid_params(f"parameter {index + 1}: {reason}")
