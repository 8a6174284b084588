"""Headers, blocks and the runtime's verdicts as bytes: round trips, hostile bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_client.devchain.errors import InvalidTransaction, PoolError, ScaleError, UnknownTransaction
from chain_client.devchain.genesis import merged
from chain_client.devchain.hashing import blake2_256
from chain_client.devchain.header import (
    CONSENSUS,
    ENVIRONMENT_UPDATED,
    OTHER,
    PRE_RUNTIME,
    SEAL,
    Block,
    DigestItem,
    Header,
    aura_slot,
)
from chain_client.devchain.scale import byte_vector
from chain_client.devchain.validity import EXHAUSTS_RESOURCES, Applied, decode_applied, decode_validity

_HASHES = st.binary(min_size=32, max_size=32)
_ITEMS = st.one_of(
    st.builds(
        DigestItem,
        st.sampled_from([CONSENSUS, SEAL, PRE_RUNTIME]),
        st.binary(min_size=4, max_size=4),
        st.binary(max_size=9),
    ),
    st.builds(DigestItem, st.just(OTHER), st.just(b""), st.binary(max_size=9)),
    st.just(DigestItem(ENVIRONMENT_UPDATED)),
)
_HEADERS = st.builds(
    Header, _HASHES, st.integers(0, 2**32 - 1), _HASHES, _HASHES, st.lists(_ITEMS, max_size=4).map(tuple)
)
_BLOCKS = st.builds(Block, _HEADERS, st.lists(st.binary(max_size=70).map(byte_vector), max_size=4).map(tuple))


@given(_BLOCKS)
def test_round_trips(block: Block) -> None:
    assert Block.decoded(block.encoded()) == block
    assert Header.decoded(block.header.encoded()) == block.header
    assert block.header.hash == blake2_256(block.header.encoded())


@given(_BLOCKS, st.data())
def test_damaged_blocks_are_another_block_or_the_error(block: Block, data: st.DataObject) -> None:
    encoded = bytearray(block.encoded())
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(encoded)))
    for damaged in (bytes(encoded), bytes(encoded[:cut])):
        try:
            assert Block.decoded(damaged).encoded() == damaged
        except ScaleError:
            continue


def test_the_slot_is_in_the_digest() -> None:
    header = Header(bytes(32), 1, bytes(32), bytes(32), (DigestItem(ENVIRONMENT_UPDATED), aura_slot(283_333_333)))
    assert header.slot == 283_333_333
    assert Header(bytes(32), 0, bytes(32), bytes(32)).slot is None


@given(st.binary(max_size=60))
def test_verdicts_of_hostile_bytes(data: bytes) -> None:
    for decode in (decode_validity, decode_applied):
        try:
            decode(data)
        except (ScaleError, PoolError):
            continue


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"\1\0\1", InvalidTransaction, "fee"),
        (b"\1\0\4", InvalidTransaction, "signature"),
        (b"\1\0\7\x2a", InvalidTransaction, "own reason 42"),
        (b"\1\0\x63", InvalidTransaction, "reason 99"),
        (b"\1\1\0", UnknownTransaction, "found"),
        (b"\1\1\2\7", UnknownTransaction, "own reason 7"),
    ],
)
def test_refusals(data: bytes, error: type[PoolError], text: str) -> None:
    for decode in (decode_validity, decode_applied):
        with pytest.raises(error, match=text):
            decode(data)


def test_verdicts() -> None:
    with pytest.raises(InvalidTransaction) as full:
        decode_applied(bytes((1, 0, EXHAUSTS_RESOURCES)))
    assert full.value.kind == EXHAUSTS_RESOURCES
    assert decode_applied(b"\0\0") == Applied(None)
    assert decode_applied(b"\0\1\3\x0a\2\0\0\0") == Applied(b"\3\x0a\2\0\0\0")


def test_merge_patch() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": [1], "e": 3}
    assert merged(base, {"a": {"b": None, "x": {"y": None, "z": 1}}, "d": {"f": 1}, "e": None}) == {
        "a": {"c": 2, "x": {"z": 1}},
        "d": {"f": 1},
    }
    assert base == {"a": {"b": 1, "c": 2}, "d": [1], "e": 3}
