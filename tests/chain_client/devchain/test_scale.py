"""SCALE coders: round trips, known encodings, hostile bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_client.devchain.errors import ScaleError
from chain_client.devchain.scale import Reader, byte_vector, compact, option, sequence


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (1, "04"),
        (42, "a8"),
        (63, "fc"),
        (64, "0101"),
        (69, "1501"),
        (16383, "fdff"),
        (16384, "02000100"),
        (65535, "feff0300"),
        (1073741823, "feffffff"),
        (1073741824, "0300000040"),
        (100000000000000, "0b00407a10f35a"),
    ],
)
def test_compact_examples_of_the_specification(value: int, encoded: str) -> None:
    assert compact(value).hex() == encoded
    assert Reader(bytes.fromhex(encoded)).compact() == value


@given(st.integers(0, (1 << 536) - 1))
def test_compact_round_trip(value: int) -> None:
    reader = Reader(compact(value))
    assert reader.compact() == value
    reader.end()


@given(st.lists(st.binary(max_size=70), max_size=70))
def test_vectors_round_trip(items: list[bytes]) -> None:
    reader = Reader(sequence(map(byte_vector, items)))
    assert [reader.byte_vector() for _ in range(reader.count())] == items
    reader.end()


@given(st.binary(max_size=80))
def test_reading_hostile_bytes_gives_a_value_or_the_error(data: bytes) -> None:
    reader = Reader(data)
    try:
        count = reader.count()
        for _ in range(count):
            reader.byte_vector()
    except ScaleError:
        return
    assert count <= len(data)


@pytest.mark.parametrize("data", ["0100", "02000000", "0300000000", "07ffffffff00", "", "01", "020000", "03ffff"])
def test_compact_refuses_long_forms_and_short_data(data: str) -> None:
    with pytest.raises(ScaleError):
        Reader(bytes.fromhex(data)).compact()


def test_out_of_range_values_are_refused() -> None:
    for value in (-1, 1 << 536):
        with pytest.raises(ScaleError):
            compact(value)


def test_small_readers() -> None:
    reader = Reader(option(b"\5") + option(None) + b"\x01\x02\x03")
    assert reader.boolean()
    assert reader.integer(1) == 5
    assert not reader.boolean()
    assert reader.integer(2) == 0x0201
    assert reader.left == 1
    with pytest.raises(ScaleError, match="too many"):
        reader.end()
    with pytest.raises(ScaleError, match="boolean"):
        reader.boolean()
