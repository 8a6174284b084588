"""Merkle trees over BLAKE2b-256 with separate domains for leaves and nodes (design 5.2: `0x00` leaf, `0x01` node).

A level of odd length promotes its last node unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from compute.types import HASH_BYTES

EMPTY_ROOT = bytes(HASH_BYTES)


def leaf_hash(data: bytes) -> bytes:
    return hashlib.blake2b(b"\x00" + data, digest_size=HASH_BYTES).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.blake2b(b"\x01" + left + right, digest_size=HASH_BYTES).digest()


def merkle_root(leaves: Iterable[bytes]) -> bytes:
    """Root over leaf hashes, in order; 32 zero bytes for none."""
    level = list(leaves)
    while len(level) > 1:
        level = _parents(level)
    return level[0] if level else EMPTY_ROOT


def merkle_proof(leaves: Sequence[bytes], index: int) -> tuple[tuple[bool, bytes], ...]:
    """The way from leaf `index` to the root: (whether the sibling stands left, sibling), lowest first."""
    proof = []
    level = list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append((sibling < index, level[sibling]))
        level = _parents(level)
        index //= 2
    return tuple(proof)


def verify_proof(leaf: bytes, proof: Iterable[tuple[bool, bytes]], root: bytes) -> bool:
    """Whether `proof` leads from `leaf` to `root`."""
    here = leaf
    for sibling_is_left, sibling in proof:
        here = node_hash(sibling, here) if sibling_is_left else node_hash(here, sibling)
    return here == root


def _parents(level: list[bytes]) -> list[bytes]:
    pairs = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return pairs + level[len(pairs) * 2 :]
