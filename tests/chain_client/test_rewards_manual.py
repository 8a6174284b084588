"""The worked example of `docs/rewards.md` is what the formulas give, number by number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chain_client.consensus import PPM
from chain_client.consensus.accuracy import Measured, accuracy, pay_weight
from chain_client.consensus.review import Ballot, ReviewParams, RoleState, review
from chain_client.consensus.scarcity import effective, next_multiplier
from chain_client.consensus.split import largest_remainder, pro_rata
from chain_client.consensus.units import PayCaps, bond_cap, rewarded

PAGE = Path(__file__).parents[2] / "docs" / "rewards.md"
PRZ = 10**12
EMISSION = 10_000 * PRZ
CAPS = PayCaps(10**6, 500, 50, 2_500, 10_000)
FLOORS, CEILINGS = (200_000, 100_000, 0, 0, 0, 0), (800_000, 400_000, 300_000, 300_000, 200_000, 200_000)
Table = dict[str, list[int]]


def amount(text: str) -> int:
    """A number of the page; amounts with a point are PRZ in full, down to the smallest unit."""
    whole, _, fraction = text.replace(",", "").partition(".")
    return int(whole) * PRZ + int(fraction.ljust(12, "0")) if fraction else int(whole)


def table(heading: str) -> Table:
    """The rows of the only table below a heading, by their first column."""
    section = PAGE.read_text().split(f"### {heading}\n")[1].split("\n#")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: [amount(cell) for cell in row[1:]] for row in rows[2:]}


@pytest.fixture(scope="module")
def pools() -> list[int]:
    rows = list(table("The roles").values())
    return largest_remainder(EMISSION, effective([row[0] for row in rows], [row[1] for row in rows]))


def test_the_roles_parts(pools: list[int]) -> None:
    rows = list(table("The roles").values())
    assert [row[2] for row in rows] == effective([row[0] for row in rows], [row[1] for row in rows])
    assert [row[3] for row in rows] == pools
    assert sum(pools) == EMISSION


def test_the_providers_rewards(pools: list[int]) -> None:
    rows = list(table("The providers").values())
    for bond, attested, capacity, covered, points, _ in rows:
        assert covered == bond_cap(CAPS, bond * PRZ, capacity, 0)
        assert points == rewarded(attested, covered, capacity, PPM)
    paid = [pro_rata(pools[0], row[4], sum(row[4] for row in rows)) for row in rows]
    assert [row[5] for row in rows] == paid
    assert pools[0] - sum(paid) == 1


def test_the_validators_rewards(pools: list[int]) -> None:
    attested = [row[1] for row in table("The providers").values()]
    rows = table("The validators")
    stakes = sum(row[0] for row in rows.values()) * PRZ
    paid = 0
    for name, (bond, distance, score, reward) in rows.items():
        said = [attested[0] + (3_000_000 if name == "Vito" else 0), *attested[1:]]
        found = accuracy([Measured(*pair) for pair in zip(said, attested, strict=True)], 1_000, 0, 0)
        assert (distance, score) == (found.deviation, found.score)
        assert reward == pro_rata(pools[1], pay_weight(bond * PRZ, score), stakes)
        paid += reward
    (lost,) = re.findall(r"The ([0-9.]+) PRZ that Vito did not earn", PAGE.read_text())
    assert amount(lost) == pools[1] - paid


def test_the_next_multiplier() -> None:
    rows = list(table("The providers").values())
    following = next_multiplier(1_200_000, sum(row[1] for row in rows), sum(row[2] for row in rows), 500_000)
    assert f"there gives {following:,} for the next epoch" in PAGE.read_text()


def test_the_review() -> None:
    rows = list(table("A review").values())
    stakes = (90_000, 70_000, 40_000)
    roles = [RoleState(i, row[0], FLOORS[i], CEILINGS[i]) for i, row in enumerate(rows)]
    votes = [Ballot(stake, {i: row[1 + voter] for i, row in enumerate(rows)}) for voter, stake in enumerate(stakes)]
    held = review(ReviewParams(), roles, votes, sum(stakes))
    assert [row[4:] for row in rows] == [list(row) for row in zip(held.medians, held.target, held.next, strict=True)]


def test_every_proof_is_listed() -> None:
    """One row of the table tells three proofs (what cutting work in two changes), the others one each."""
    source = (Path(__file__).parent / "test_proofs.py").read_text()
    proofs = [name for name in re.findall(r"^def test_(\w+)\(", source, re.MULTILINE) if "false_claim" not in name]
    section = PAGE.read_text().split("## What is proved\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| .*", section, re.MULTILINE)[2:]
    assert len(rows) == len(proofs) - 2
