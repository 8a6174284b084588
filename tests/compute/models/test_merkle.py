from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compute.models.merkle import EMPTY_ROOT, leaf_hash, merkle_proof, merkle_root, node_hash, verify_proof

leaves = st.lists(st.binary(max_size=8).map(leaf_hash), min_size=1, max_size=40)


def naive_root(level: list[bytes]) -> bytes:
    if len(level) == 1:
        return level[0]
    pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
    return naive_root([node_hash(*pair) if len(pair) == 2 else pair[0] for pair in pairs])


def test_no_leaves_have_a_root_of_their_own() -> None:
    assert merkle_root([]) == EMPTY_ROOT


@given(leaves)
def test_the_root_is_that_of_the_naive_tree(hashes: list[bytes]) -> None:
    assert merkle_root(hashes) == naive_root(hashes)


@given(leaves, st.data())
def test_every_leaf_has_a_proof_and_no_other_leaf_has_it(hashes: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(hashes) - 1))
    proof, root = merkle_proof(hashes, index), merkle_root(hashes)
    assert verify_proof(hashes[index], proof, root)
    assert not verify_proof(leaf_hash(b"something else entirely"), proof, root)


@given(leaves, st.data())
def test_the_order_and_content_of_leaves_matter(hashes: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(hashes) - 1))
    changed = [*hashes[:index], leaf_hash(b"changed, and longer"), *hashes[index + 1 :]]
    assert merkle_root(changed) != merkle_root(hashes)
    if len(set(hashes)) > 1:
        assert merkle_root(sorted(hashes)) != merkle_root(sorted(hashes, reverse=True))


def test_a_leaf_cannot_pass_for_a_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)
