from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerz_node.sizes import format_bytes, parse_bytes


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("0", 0),
        ("17", 17),
        ("1k", 1000),
        ("1KiB", 1024),
        ("1.5GiB", 3 * 2**29),
        (" 500 MB ", 500_000_000),
        ("2g", 2 * 10**9),
    ],
)
def test_sizes_are_read(text: str, n: int) -> None:
    assert parse_bytes(text) == n


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1 PB", "1e9", "one"])
def test_what_is_no_size_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="2GiB"):
        parse_bytes(text)


@given(st.integers(0, 2**42))
def test_what_is_written_reads_back_within_the_shown_digits(n: int) -> None:
    assert abs(parse_bytes(format_bytes(n)) - n) <= max(0.05 * n, 0)


@pytest.mark.parametrize(("n", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 * 2**29, "1.5 GiB")])
def test_sizes_are_written(n: int, text: str) -> None:
    assert format_bytes(n) == text
