"""The Python twin of the consensus crate gives the crate's results on every committed case."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chain_client.consensus import (
    accuracy,
    arith,
    assignment,
    commit,
    emission,
    median,
    merkle,
    review,
    scarcity,
    seed,
    split,
    units,
)
from chain_client.consensus import slash as slashing
from chain_client.consensus.hashing import blake2_256

VECTORS = Path(__file__).parents[1] / "vectors" / "consensus.json"


def _plain(value: Any) -> Any:
    """Numbers and bytes as Python has them: long numbers are strings of digits in the file, bytes start with `0x`."""
    match value:
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case str() if value.startswith("0x"):
            return bytes.fromhex(value[2:])
        case str() if value.isdecimal():
            return int(value)
    return value


def _review(max_step: int, roles: list[Any], ballots: list[Any], eligible: int) -> dict[str, Any]:
    found = review.review(
        review.ReviewParams(max_step=max_step),
        [review.RoleState(*role) for role in roles],
        [review.Ballot(stake, dict(weights)) for stake, weights in ballots],
        eligible,
    )
    return {name: getattr(found, name) for name in review.Review.__dataclass_fields__}


def _draw(schedule: list[int], epoch: int, issuance: int, pot: int) -> list[int]:
    drawn = emission.draw(emission.Schedule(*schedule), epoch, issuance, pot)
    return [drawn.spend, drawn.mint, emission.granted(emission.Schedule(*schedule), epoch)]


def _accuracy(rows: list[Any], tolerance: int, planted: int, missed: int) -> list[int]:
    found = accuracy.accuracy([accuracy.Measured(*row) for row in rows], tolerance, planted, missed)
    return [found.deviation, found.distance, found.planted, found.score]


def _cost(kind: str, blocks: int, params: int, d_model: int, position: int, new_tokens: int) -> list[int]:
    attended = units.attended(position, new_tokens)
    cost = units.cost(units.Work(units.Kind(kind), blocks, params, d_model, new_tokens, attended))
    return [attended, cost, units.units(cost)]


def _rewarded(bond_per_unit: int, attested: int, bond: int, capacity: int, clean: int, pass_rate: int) -> list[int]:
    cap = units.bond_cap(units.PayCaps(bond_per_unit, 500, 100, 2_000, 2_500), bond, capacity, clean)
    return [cap, units.rewarded(attested, cap, capacity, pass_rate)]


def _merkle(data: list[bytes], index: int) -> list[Any]:
    leaves = [merkle.leaf(each) for each in data]
    root, siblings = merkle.root(leaves), merkle.proof(leaves, index)
    assert merkle.verify(root, len(leaves), index, leaves[index], siblings)
    assert not merkle.verify(root, len(leaves), index, merkle.leaf(b"other"), siblings)
    assert not merkle.verify(root, len(leaves), index, leaves[index], [*siblings, bytes(32)])
    return [root, siblings]


def _commit(
    genesis: bytes, epoch: int, validator: bytes, entries: list[Any], evidence: bytes, salt: bytes
) -> list[bytes]:
    row = commit.Row(tuple(commit.Entry(*entry) for entry in entries), evidence)
    assert commit.is_sorted(row.entries)
    return [blake2_256(row.encode()), commit.commit_hash(genesis, epoch, validator, row, salt)]


def _slash(record: list[int], today: int, bond: int, wanted: int) -> list[Any]:
    amount, after = slashing.Slashed(*record).take(slashing.SlashCaps(), today, bond, wanted)
    return [amount, [after.day, after.in_day, after.in_month]]


def _breaker(usual: int, seen: int, floor: int) -> list[Any]:
    breaker = slashing.Breaker(usual, seen)
    return [breaker.is_open(floor), breaker.next_epoch(floor).usual]


REPLAYS: dict[str, Callable[..., Any]] = {
    "mul_div": arith.mul_div,
    "smooth": arith.smooth,
    "largest_remainder": split.largest_remainder,
    "largest_remainder_ties": split.largest_remainder,
    "pro_rata": split.pro_rata,
    "cap_weights": median.cap_weights,
    "capped_median": median.capped_median,
    "quorum_met": median.quorum_met,
    "fit": review.fit,
    "review": _review,
    "next_multiplier": scarcity.next_multiplier,
    "effective": scarcity.effective,
    "draw": _draw,
    "accuracy": _accuracy,
    "cost": _cost,
    "client_capped": units.client_capped,
    "rewarded": _rewarded,
    "standing": units.standing,
    "assigned": lambda drawn, provider, validators: assignment.assigned(
        assignment.AssignmentParams(), drawn, provider, validators
    ),
    "next_seed": seed.next_seed,
    "chain": seed.chain,
    "merkle": _merkle,
    "commit_hash": _commit,
    "slash": _slash,
    "breaker": _breaker,
}


@pytest.fixture(scope="module")
def vectors() -> dict[str, list[dict[str, Any]]]:
    return {name: _plain(cases) for name, cases in json.loads(VECTORS.read_text()).items()}


@pytest.mark.parametrize("name", REPLAYS)
def test_python_agrees_with_rust(name: str, vectors: dict[str, list[dict[str, Any]]]) -> None:
    for case in vectors[name]:
        assert REPLAYS[name](*case["arguments"]) == case["result"], case["arguments"]


def test_every_function_of_the_file_is_replayed(vectors: dict[str, list[dict[str, Any]]]) -> None:
    assert set(vectors) == set(REPLAYS)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([(1, 4_000), (0, 6_000)], "strictly increasing"),
        ([(0, 4_000), (0, 6_000)], "strictly increasing"),
        ([(0, 4_000), (7, 6_000)], r"roles \[7\] are not open"),
        ([(0, 4_000)], "add up to 4000"),
    ],
)
def test_a_ballot_that_the_chain_refuses_is_refused_here(weights: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        review.check_ballot(weights, [0, 1])
