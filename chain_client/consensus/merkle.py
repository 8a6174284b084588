"""Merkle trees whose proofs are bound to position, leaf count and depth; a level's odd last node is promoted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chain_client.consensus.hashing import blake2_256

EMPTY_ROOT = bytes(32)


def leaf(data: bytes) -> bytes:
    return blake2_256(b"\x00", data)


def node(left: bytes, right: bytes) -> bytes:
    return blake2_256(b"\x01", left, right)


def root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes, in order; 32 zero bytes for none."""
    level = list(leaves)
    while len(level) > 1:
        level = _parents(level)
    return level[0] if level else EMPTY_ROOT


def proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Siblings from leaf `index` up to the root, lowest first. Raises IndexError if there is no such leaf."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} among {len(leaves)}")
    level, siblings = list(leaves), []
    while len(level) > 1:
        siblings += level[index ^ 1 : (index ^ 1) + 1]
        level, index = _parents(level), index // 2
    return siblings


def proof_length(leaf_count: int, index: int) -> int | None:
    """Siblings that a proof for leaf `index` has; None if there is no such leaf."""
    if not 0 <= index < leaf_count:
        return None
    return sum(side is not None for side in _sides(leaf_count, index))


def verify(root: bytes, leaf_count: int, index: int, leaf: bytes, siblings: Sequence[bytes]) -> bool:
    """Whether `siblings` lead from the hash `leaf` at `index` of `leaf_count` (known with the root) to `root`."""
    if proof_length(leaf_count, index) != len(siblings):
        return False
    rest = iter(siblings)
    for is_right in _sides(leaf_count, index):
        if is_right is not None:
            leaf = node(next(rest), leaf) if is_right else node(leaf, next(rest))
    return leaf == root


def _sides(leaf_count: int, index: int) -> Iterator[bool | None]:
    """Per level below the root: whether the node is its pair's right one; None if it is promoted."""
    while leaf_count > 1:
        yield True if index % 2 else None if index + 1 == leaf_count else False
        leaf_count, index = (leaf_count + 1) // 2, index // 2


def _parents(level: list[bytes]) -> list[bytes]:
    pairs = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return pairs + level[len(pairs) * 2 :]
