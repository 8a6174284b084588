from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from compute.models.merkle import EMPTY_ROOT, leaf_hash, merkle_proof, merkle_root, node_hash, verify_proof

LEAVES = st.lists(st.binary(max_size=8).map(leaf_hash), min_size=1, max_size=40)


def naive_root(leaves: list[bytes]) -> bytes:
    """By recursion from the top: the left subtree is the largest power of two that leaves something for the right."""
    if len(leaves) == 1:
        return leaves[0]
    left = 1
    while left * 2 < len(leaves):
        left *= 2
    return node_hash(naive_root(leaves[:left]), naive_root(leaves[left:]))


@given(LEAVES)
def test_root_equals_the_recursive_definition(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == naive_root(leaves)


@given(LEAVES, st.data())
def test_every_leaf_is_proved_and_no_other_value_is(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = merkle_proof(leaves, index)
    root = merkle_root(leaves)
    assert verify_proof(leaves[index], proof, root)
    assert not verify_proof(leaf_hash(b"not in any tree here"), proof, root)
    assert len(proof) <= (len(leaves) - 1).bit_length()


@given(LEAVES, st.data())
def test_changing_any_leaf_changes_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    other = [*leaves[:index], leaf_hash(b"not in any tree here"), *leaves[index + 1 :]]
    assert merkle_root(other) != merkle_root(leaves)


@given(LEAVES)
def test_a_tampered_proof_leads_elsewhere(leaves: list[bytes]) -> None:
    for position, (is_left, sibling) in enumerate(proof := merkle_proof(leaves, 0)):
        bent = (*proof[:position], (is_left, leaf_hash(sibling)), *proof[position + 1 :])
        assert not verify_proof(leaves[0], bent, merkle_root(leaves))


def test_leaves_and_nodes_never_collide() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hash(b"") == hashlib.blake2b(b"\x00", digest_size=32).digest()
    assert merkle_root([]) == EMPTY_ROOT
