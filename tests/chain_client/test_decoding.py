"""From the SCALE library's values to ours and back, and nothing that does not fit gets through."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_client.account import Account
from chain_client.decoding import Bounded, decode, encode
from chain_client.errors import BadArgument, MalformedAnswer
from chain_client.pallet_events import Paused, SeedChainSet
from chain_client.types import AccountId, Epoch, Model, ModelShape, Phase, SeedChain, Step, StepKind, Unbonding, Vote

ALICE = Account.development("alice")
ROOT = "0x" + "11" * 32


def test_records_are_decoded_by_their_field_names() -> None:
    shape = {"blocks": 1, "params_per_block": 2, "d_model": 3}
    model = decode(Model, {"owner": ALICE.address, "index": 4, "shape": shape})
    assert model == Model(ALICE.account, 4, ModelShape(1, 2, 3))


def test_optional_nested_and_repeated_values() -> None:
    assert decode(SeedChain, {"tip": ROOT, "next": None}) == SeedChain(b"\x11" * 32, None)
    assert decode(SeedChain, {"tip": ROOT, "next": (ROOT, 3)}).next == (b"\x11" * 32, 3)
    vote = decode(Vote, {"shares": [(0, 6_000), (1, 4_000)], "amount": 1, "review": 2, "unlock": None})
    assert vote == Vote(((0, 6_000), (1, 4_000)), 1, 2, None)


def test_enums_with_and_without_a_page() -> None:
    assert decode(Phase, "Reveal") is Phase.REVEAL
    assert decode(Step, "Seal") == Step(StepKind.SEAL)
    assert decode(Step, {"Subjects": 5}) == Step(StepKind.SUBJECTS, 5)


def test_a_field_that_python_reserves_and_an_event_without_fields() -> None:
    assert decode(SeedChainSet, {"index": 1, "tip": ROOT, "from": 2}).from_ == 2
    assert decode(Paused, None) == Paused()


def test_accounts_come_as_addresses_or_as_bytes() -> None:
    for raw in (ALICE.address, "0x" + ALICE.account.hex()):
        assert decode(AccountId, raw) == ALICE.account  # type: ignore[arg-type,comparison-overlap]


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (int, -1),
        (int, True),
        (int, "1"),
        (int, None),
        (bool, 1),
        (str, b""),
        (bytes, "11"),
        (bytes, "0x1"),
        (bytes, None),
        (AccountId, "0x11"),
        (AccountId, "nobody"),
        (AccountId, None),
        (Phase, "Sleep"),
        (Phase, None),
        (Step, {"Subjects": -1}),
        (Step, {"Subjects": 1, "Seal": 2}),
        (Unbonding, {"amount": 1}),
        (Unbonding, {"amount": 1, "unlock": 2, "more": 3}),
        (Unbonding, [1, 2]),
        (Epoch, None),
        (tuple[int, ...], 5),
        (tuple[int, int], [1]),
    ],
)
def test_what_does_not_fit_is_refused(kind: Any, raw: Any) -> None:
    with pytest.raises(MalformedAnswer):
        decode(kind, raw)


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["tip", "next", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_anything)
def test_nothing_but_a_value_or_a_refusal_comes_out(raw: Any) -> None:
    for kind in (SeedChain, Vote, Step, Phase, tuple[bytes, ...]):
        with contextlib.suppress(MalformedAnswer):
            decode(kind, raw)  # type: ignore[arg-type]


def test_arguments_are_encoded_as_the_library_takes_them() -> None:
    assert encode(ModelShape(1, 2, 3)) == {"blocks": 1, "params_per_block": 2, "d_model": 3}
    assert encode(Bounded(((0, 6_000), (1, 4_000)))) == [[(0, 6_000), (1, 4_000)]]
    assert encode(b"\x01") == "0x01"
    assert encode(Phase.OPEN) == "Open"
    assert encode(None) is None


def test_values_without_an_encoding_are_refused() -> None:
    for value in (1.5, [1], object()):
        with pytest.raises(BadArgument):
            encode(value)
