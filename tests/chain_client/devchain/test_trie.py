"""The state trie against an independent implementation's roots, and the incremental root against the full one."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_client.devchain.hashing import blake2_256
from chain_client.devchain.host import KEY_BYTES_MAX
from chain_client.devchain.scale import compact
from chain_client.devchain.trie import EMPTY_ROOT, Trie, ordered_root

_CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "vectors/trie_roots.json").read_text())["cases"]

# Few distinct bytes: keys that share prefixes, and keys that are prefixes of others.
_KEYS = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), max_size=5).map(bytes)
_VALUES = st.one_of(st.binary(max_size=3), st.binary(min_size=31, max_size=34))
_STATES = st.dictionaries(_KEYS, _VALUES, max_size=40)


def _entries(case: dict[str, Any]) -> dict[bytes, bytes]:
    return {bytes.fromhex(key[2:]): bytes.fromhex(value[2:]) for key, value in case["entries"]}


@pytest.mark.parametrize("case", _CASES, ids=[f"{index}-{case['kind']}" for index, case in enumerate(_CASES)])
def test_roots_of_smoldot(case: dict[str, Any]) -> None:
    entries, version, root = _entries(case), case["state_version"], bytes.fromhex(case["root"][2:])
    assert Trie.of(entries, version).root() == root
    grown = Trie(version)
    for key, value in entries.items():
        grown = grown.updated({key: value})
        grown.root()
    assert grown.root() == root


def test_the_deepest_keys_fit_on_the_stack() -> None:
    # Two branches a byte: one where the first digits part, one where the second do.
    deepest = {bytes(length) + last: b"x" for length in range(KEY_BYTES_MAX) for last in (b"\x00", b"\x01", b"\x10")}

    def below(frames: int) -> Trie:
        """Everything that a runtime may ask for, with so many frames of callers above."""
        if frames:
            return below(frames - 1)
        grown = Trie().updated(deepest)
        assert grown.root() == Trie.of(deepest).root()
        assert len(list(grown.items())) == len(deepest)
        assert grown.updated(dict.fromkeys(deepest)).root() == EMPTY_ROOT
        return grown

    below(100)


@given(_STATES, st.lists(st.dictionaries(_KEYS, st.none() | _VALUES, max_size=8), max_size=6), st.sampled_from([0, 1]))
def test_incremental_equals_full(
    start: dict[bytes, bytes], steps: list[dict[bytes, bytes | None]], version: int
) -> None:
    model = dict(start)
    trie = Trie.of(model, version)
    earlier = [(trie, trie.root())]
    for step in steps:
        trie = trie.updated(step)
        for key, value in step.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        assert dict(trie.items()) == model
        assert trie.root() == Trie.of(model, version).root()
        earlier.append((trie, trie.root()))
    # Writing to a state left the earlier ones as they were.
    for old, root in earlier:
        assert Trie.of(dict(old.items()), version).root() == root == old.root()


@given(_STATES, _KEYS, st.none() | _KEYS)
def test_reads_equal_a_sorted_dictionary(state: dict[bytes, bytes], key: bytes, after: bytes | None) -> None:
    trie = Trie.of(state)
    assert trie.get(key) == state.get(key)
    assert trie.next_key(key) == min((other for other in state if other > key), default=None)
    wanted = sorted(other for other in state if other.startswith(key) and (after is None or other > after))
    assert list(trie.items(key, after)) == [(other, state[other]) for other in wanted]


def test_deleting_everything_gives_the_empty_root() -> None:
    state = {bytes([one, other]): b"x" * 40 for one in range(20) for other in range(20)}
    trie = Trie.of(state).updated(dict.fromkeys(state))
    assert trie.root() == EMPTY_ROOT == blake2_256(b"\0")
    assert trie.get(b"\1\1") is None


def test_deleting_what_is_not_there_changes_no_root() -> None:
    trie = Trie.of({b"abc": b"1", b"abd": b"2"})
    assert trie.updated({b"ab": None, b"abcd": None, b"x": None}).root() == trie.root()


@pytest.mark.parametrize("nibbles", [61, 62, 63, 64, 317, 318, 319, 572, 573, 574])
def test_long_partial_keys(nibbles: int) -> None:
    """The header's length field at its seams: below 63, at 63, and where another byte is needed."""
    key = b"\x12" * ((nibbles + 1) // 2)
    path = key if nibbles % 2 == 0 else key[:-1]
    if nibbles % 2 == 0:
        encoded_length = bytes([0x40 | nibbles]) if nibbles < 63 else b"\x7f" + b"\xff" * ((nibbles - 63) // 255)
        if nibbles >= 63:
            encoded_length += bytes([(nibbles - 63) % 255])
        assert Trie.of({path: b"v"}).root() == blake2_256(encoded_length + path + compact(1) + b"v")
    else:
        other = key[:-1] + b"\x22"
        assert Trie.of({key: b"v", other: b"w"}).root() == Trie().updated({other: b"w", key: b"v"}).root()


def test_ordered_root_is_the_trie_over_compact_indices() -> None:
    values = [bytes([index % 256]) * (index % 50) for index in range(300)]
    expected = Trie()
    for index, value in enumerate(values):
        expected = expected.updated({compact(index): value})
    assert ordered_root(values, 1) == expected.root()
    assert ordered_root([], 1) == EMPTY_ROOT


def test_an_unknown_state_version_is_refused() -> None:
    with pytest.raises(ValueError, match="state version 2"):
        Trie(2)


def test_the_cost_of_a_root_does_not_grow_with_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten writes hash the nodes on their ten paths again, a few more for 32 times the keys and no more."""
    hashed: list[int] = []

    def counting(data: bytes) -> bytes:
        hashed.append(len(data))
        return blake2_256(data)

    monkeypatch.setattr("chain_client.devchain.trie.blake2_256", counting)
    for keys, most in ((1_000, 10 * 4), (32_000, 10 * 5)):
        state = {blake2_256(b"%d" % index): b"value" * 8 for index in range(keys)}
        trie = Trie.of(state)
        trie.root()
        hashed.clear()
        trie.updated(dict.fromkeys(list(state)[:10], b"other")).root()
        assert len(hashed) <= most
