"""The epoch's seed from hash chains: nobody chooses a value, a validator can only withhold one."""

from __future__ import annotations

from collections.abc import Sequence

from chain_client.consensus.hashing import blake2_256, u32_le

_SEED = b"peerz/seed/v1"
_LINK = b"peerz/link/v1"


def link(value: bytes) -> bytes:
    """The next element of a chain."""
    return blake2_256(_LINK, value)


def chain(secret: bytes, steps: int) -> bytes:
    """The element after `steps` links: of `length` for what is registered, of `length - i` for the i-th reveal."""
    for _ in range(steps):
        secret = link(secret)
    return secret


def is_next(end: bytes, revealed: bytes) -> bool:
    """Whether `revealed` is the pre-image of the `end` known so far (which it then replaces)."""
    return link(revealed) == end


def next_seed(previous: bytes, epoch: int, reveals: Sequence[tuple[int, bytes]]) -> bytes | None:
    """The seed of `epoch` over `(index, revealed)` in index order; None if an index is given twice."""
    if len({index for index, _ in reveals}) != len(reveals):
        return None
    body = b"".join(u32_le(index) + revealed for index, revealed in sorted(reveals))
    return blake2_256(_SEED, previous, u32_le(epoch), body)
