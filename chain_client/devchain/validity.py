"""What the runtime says about a transaction: is it valid, and how did it end in a block."""

from __future__ import annotations

from dataclasses import dataclass

from chain_client.devchain.errors import InvalidTransaction, PoolError, UnknownTransaction
from chain_client.devchain.scale import Reader

EXHAUSTS_RESOURCES = 6
_CUSTOM_INVALID, _CUSTOM_UNKNOWN = 7, 2
_INVALID = {
    0: "its call is not wanted here",
    1: "the sender cannot pay the fee",
    2: "its nonce lies in the future",
    3: "its nonce was used already",
    4: "its signature does not match",
    5: "its era has ended",
    EXHAUSTS_RESOURCES: "it does not fit into a block",
    8: "a mandatory call failed",
    9: "a mandatory call is made by the block's author only",
    10: "its signer may not sign",
    11: "what its signature covers cannot be computed",
    12: "no origin is authorised by it",
}
_UNKNOWN = {0: "something that it refers to cannot be found", 1: "nobody validates unsigned transactions of this kind"}


@dataclass(frozen=True, slots=True)
class ValidTransaction:
    """The runtime's answer for a valid transaction. Tags are opaque: every one in `requires` must be provided first."""

    priority: int
    requires: tuple[bytes, ...]
    provides: tuple[bytes, ...]
    longevity: int
    """Blocks for which this stays true."""
    propagate: bool


def _validity_error(reader: Reader) -> PoolError:
    """`TransactionValidityError`."""
    unknown = reader.boolean()
    kind = reader.integer(1)
    if kind == (_CUSTOM_UNKNOWN if unknown else _CUSTOM_INVALID):
        text = f"the runtime's own reason {reader.integer(1)}"
    else:
        text = (_UNKNOWN if unknown else _INVALID).get(kind, f"reason {kind}")
    return UnknownTransaction(text) if unknown else InvalidTransaction(text, kind)


def decode_validity(data: bytes) -> ValidTransaction:
    """`TransactionValidity`. Raises `InvalidTransaction` or `UnknownTransaction` when it says so."""
    reader = Reader(data)
    if reader.boolean():
        raise _validity_error(reader)
    priority = reader.integer(8)
    requires = tuple(reader.byte_vector() for _ in range(reader.count()))
    provides = tuple(reader.byte_vector() for _ in range(reader.count()))
    longevity, propagate = reader.integer(8), reader.boolean()
    reader.end()
    return ValidTransaction(priority, requires, provides, longevity, propagate)


@dataclass(frozen=True, slots=True)
class Applied:
    """An extrinsic that is in the block: dispatched, or failed with `error` (SCALE `DispatchError`), the fee paid."""

    error: bytes | None


def decode_applied(data: bytes) -> Applied:
    """`ApplyExtrinsicResult`. Raises `InvalidTransaction` or `UnknownTransaction` when it may not be in the block."""
    reader = Reader(data)
    if reader.boolean():
        raise _validity_error(reader)
    return Applied(reader.rest() if reader.boolean() else None)
