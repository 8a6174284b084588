"""Amounts, shares and bars: exact both ways, and refusals that say how to write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_client.types import PRZ
from peerz_node.wallet.amounts import bar, format_amount, parse_amount, parse_shares, percent, plain_amount, printable

ROLES = {"compute": 0, "validator": 1, "model": 2}


@given(st.integers(0, 10**15 * PRZ - 1))
def test_an_amount_survives_being_written_and_read(amount: int) -> None:
    assert parse_amount(plain_amount(amount)) == amount
    assert parse_amount(format_amount(amount)) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1", PRZ), ("0.000000000001", 1), ("12.5PRZ", 25 * PRZ // 2), ("1,000", 1_000 * PRZ), (" 2 PRZ ", 2 * PRZ)],
)
def test_amounts_as_people_write_them(text: str, amount: int) -> None:
    assert parse_amount(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        ".5",
        "1.",
        "1e3",
        "0x10",
        "1.0000000000001",
        "1 2",
        "٣",
        "9" * 16,
        "nan",
        "12,5",
        "1,0000",
        ",100",
        "1,,000",
        "0.1,000",
        "1_0",
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"12\.5"):
        parse_amount(text)


def test_shares_are_basis_points_by_role_and_zeros_are_left_out() -> None:
    assert parse_shares("compute=60, validator=40%", ROLES) == {0: 6_000, 1: 4_000}
    assert parse_shares("compute=33.33,validator=66.67,model=0", ROLES) == {0: 3_333, 1: 6_667}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("compute=60", "sum to 60, not to 100"),
        ("compute=60,validator=50", "sum to 110"),
        ("compute=100,compute=0", "named twice"),
        ("cook=100", "the roles are compute, validator, model"),
        ("compute", "write as in"),
        ("compute=", "write as in"),
        ("compute=1.234,model=98.766", "write as in"),
        ("", "write as in"),
    ],
)
def test_wrong_shares_are_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_shares(text, ROLES)


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 60))
def test_a_bar_never_leaves_its_room(part: int, whole: int, width: int) -> None:
    assert len(bar(part, whole, width)) <= width


def test_bars_grow_with_their_part() -> None:
    assert bar(0, 100, 10) == ""
    assert bar(50, 100, 10) == "█" * 5
    assert bar(100, 100, 10) == bar(200, 100, 10) == "█" * 10
    assert bar(1, 0, 10) == ""
    assert percent(123_456) == "12.35 %"


def test_texts_from_the_chain_cannot_move_the_cursor() -> None:
    assert printable("ev\x1b[2Jil\n") == "ev?[2Jil?"
    assert len(printable("x" * 1_000)) == 64
