"""Whole reward epochs by signed extrinsics through stock substrate-interface, every balance predicted by `model`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from tests.e2e.chain.conftest import OpenChain
from tests.e2e.chain.model import (
    COMPUTE,
    DEVELOPER,
    HISTORY,
    LIQUIDITY,
    MODEL,
    POT,
    PPM,
    PRZ,
    SOCIAL,
    TREASURY,
    VALIDATOR,
    Entry,
    Row,
)
from tests.e2e.chain.receipts import report
from tests.e2e.chain.stock import Done
from tests.e2e.chain.story import PARAMETERS, Story, as_hex

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

GENESIS: dict[str, object] = {"peerz": {"parameters": PARAMETERS}}
STAKES = {"Vera": 2_000 * PRZ, "Viktor": 1_500 * PRZ, "Vito": 1_500 * PRZ}
PROVIDER_BONDS = {"Paula": 200 * PRZ, "Peter": 50 * PRZ, "Pia": 0, "Paul": 100 * PRZ}
MEMBERS = {"Lena": LIQUIDITY, "Sina": SOCIAL}


@pytest.fixture
def story(open_chain: OpenChain) -> Iterator[Story]:
    with open_chain(GENESIS) as stock:
        yield Story(stock)


def test_one_provider_one_validator_one_epoch(story: Story) -> None:
    story.check()
    for who in ("Paula", "Vera"):
        story.fund(who, 10_000 * PRZ)
    story.block()
    story.bond("Vera", VALIDATOR, 2_000 * PRZ)
    story.bond("Paula", COMPUTE, 200 * PRZ)
    story.bind("Paula")
    story.block()
    story.register_validator("Vera")
    story.register_provider("Paula")
    story.block()
    story.check()
    story.finalise("Vera", {})
    story.to("Commit")
    story.finalise("Paula", {})
    story.check()

    rows = {"Vera": {story.index["Paula", COMPUTE]: Entry(1_500, 4_000)}}
    story.to("Commit")
    story.attest(rows)
    story.finalise("Paula", rows)
    story.claim("Paula", 2, COMPUTE)
    story.claim("Vera", 2, VALIDATOR)
    story.block()
    story.check()
    # Two epochs' emission less what belongs to roles in which nobody earned.
    assert story.model.pools[2, COMPUTE].claimed == 2 * 6_000 * PRZ


def settle(story: Story) -> None:
    """Epoch 1: everybody gets funds, bonds, binds, registers; three vote; somebody gives to the pot."""
    for who in (*STAKES, *PROVIDER_BONDS, *MEMBERS, "Mona", "Rita"):
        story.fund(who, 5_000 * PRZ)
    story.block()
    for who, amount in STAKES.items():
        story.bond(who, VALIDATOR, amount)
    for who, amount in PROVIDER_BONDS.items():
        story.bind(who)
        if amount:
            story.bond(who, COMPUTE, amount)
    for who, role in MEMBERS.items():
        story.bond(who, role, 100 * PRZ)
    story.block()
    for who in STAKES:
        story.register_validator(who)
    for who in PROVIDER_BONDS:
        story.register_provider(who)
    for who, role in MEMBERS.items():
        story.join(who, role)
    story.register_model("Mona", b"manifest of a model".ljust(32))
    story.vote("Alice", {COMPUTE: 5_000, VALIDATOR: 2_000, MODEL: 1_000, LIQUIDITY: 1_000, SOCIAL: 1_000}, 90_000 * PRZ)
    story.vote(
        "Bob", {COMPUTE: 4_500, VALIDATOR: 1_500, DEVELOPER: 1_000, LIQUIDITY: 2_000, SOCIAL: 1_000}, 70_003 * PRZ
    )
    story.vote("Charlie", {COMPUTE: 10_000}, 40_000 * PRZ)
    story.do(
        "Dave",
        "transfer_keep_alive",
        pallet="Balances",
        dest=story.funds()[POT],
        value=5 * PRZ + 1,
        then=lambda _: story.model.transfer("Dave", POT, 5 * PRZ + 1),
    )
    story.block()
    story.check()
    story.finalise("Vera", {})
    story.check()


def row(story: Story, paula: int = 1_500, paul: int = 900) -> Row:
    """What the validators saw: Peter at his capacity, Pia beyond what a bondless provider is paid for."""
    return {
        story.index["Paula", COMPUTE]: Entry(paula, 4_000),
        story.index["Peter", COMPUTE]: Entry(777, 777),
        story.index["Pia", COMPUTE]: Entry(10_000, 30_010),
        story.index["Paul", COMPUTE]: Entry(paul, 2_000),
        story.index["Lena", LIQUIDITY]: Entry(500, 0),
        story.index["Sina", SOCIAL]: Entry(301, 0),
        story.index["Mona", MODEL]: Entry(4_177, 0),
    }


def first_paid_epoch(story: Story) -> None:
    """Epoch 3, about the work of 2: one validator is four per cent off about one provider; the review comes."""
    seen = row(story)
    rows = {"Vera": seen, "Viktor": seen, "Vito": seen | {story.index["Paula", COMPUTE]: Entry(1_560, 4_000)}}
    story.attest(rows)
    before = list(story.model.weights)
    story.finalise("Rita", rows)
    assert story.model.weights != before
    assert (sum(story.model.weights), story.model.weights[SOCIAL]) == (PPM, 50_000)
    for who in ("Vera", "Vito"):
        story.claim(who, 2, VALIDATOR)
    story.claim("Paula", 2, COMPUTE)
    story.claim("Mona", 2, MODEL)
    story.block()
    story.claim("Paula", 2, COMPUTE, refused="AlreadyClaimed")
    story.claim("Peter", 2, COMPUTE, refused="StillWithheld")
    # Its role had no weight yet.
    story.claim("Lena", 2, LIQUIDITY, refused="NothingToClaim")
    story.do("Rita", "claim", epoch=2, index=story.index["Paul", COMPUTE], refused="NotOwner")
    story.block()
    story.check()


def second_paid_epoch(story: Story) -> None:
    """Epoch 4, about the work of 3: Paul is convicted by his own receipts, Vito commits and does not reveal."""
    story.to("Commit")
    report(story, "Rita", "Paul", outputs=(1, 1), refused="SameReceipt")
    report(story, "Rita", "Paul")
    story.block()
    story.do("Paul", "unbond", role=COMPUTE, amount=PRZ, refused="Accused")
    report(story, "Vera", "Paul", refused="AlreadyReported")
    story.block()
    story.check()
    seen = row(story, paula=1_997)
    rows = {"Vera": seen, "Viktor": seen}
    story.attest(rows, hidden={"Vito": seen})
    story.do("Rita", "apply_slash", id=0, refused="TooEarly")
    story.block()
    story.finalise("Paula", rows, hidden=("Vito",))
    assert (3, story.index["Paul", COMPUTE]) not in story.model.earnings
    story.do("Paul", "claim", epoch=3, index=story.index["Paul", COMPUTE], refused="NothingToClaim")
    story.do("Vito", "claim", epoch=3, index=story.index["Vito", VALIDATOR], refused="NothingToClaim")
    for who, role in MEMBERS.items():
        story.claim(who, 3, role)
    story.claim("Paula", 3, COMPUTE)
    story.claim("Peter", 2, COMPUTE)
    story.claim("Vera", 3, VALIDATOR)
    story.block()
    story.check()


def third_paid_epoch(story: Story) -> None:
    """Epoch 5, about the work of 4: the emission is halved, both slashes are applied, Paul claims late."""
    story.to("Commit")
    for number, owner in enumerate(("Paul", "Vito")):
        assert story.model.slashes[number].owner == owner
        story.do("Rita", "apply_slash", id=number, then=partial(slashed, story, number))
    story.do("Rita", "apply_slash", id=0, refused="UnknownSlash")
    story.do(
        "Viktor",
        "unbond",
        role=VALIDATOR,
        amount=200 * PRZ,
        then=lambda _: story.model.unbond("Viktor", VALIDATOR, 200 * PRZ),
    )
    story.do("Charlie", "remove_vote", then=lambda _: take_back(story, "Charlie"))
    story.block()
    story.check()
    seen = row(story)
    rows = dict.fromkeys(STAKES, seen)
    story.attest(rows)
    story.finalise("Vito", rows)
    assert story.model.pools[4, VALIDATOR].total < story.model.pools[3, VALIDATOR].total * 51 // 100
    story.claim("Paul", 2, COMPUTE)
    story.claim("Pia", 2, COMPUTE)
    story.claim("Pia", 3, COMPUTE)
    for who in STAKES:
        story.claim(who, 4, VALIDATOR)
    for who, role in (*MEMBERS.items(), ("Paula", COMPUTE), ("Mona", MODEL)):
        story.claim(who, 4, role)
    story.block()
    story.check()


def slashed(story: Story, number: int, done: Done) -> None:
    assert story.model.slash(number, story.epoch) == done.attribute("Slashed", "amount") > 0


def take_back(story: Story, who: str) -> None:
    story.model.votes[who] = replace(story.model.votes[who], taken_back=True)


def long_after(story: Story) -> None:
    """Until the first paid epoch has left the history: what nobody claimed of it goes to the treasury."""
    story.set_parameters(commit_blocks=1, reveal_blocks=1, epoch_blocks=3, idle_steps=16)
    story.block()
    last = 2 + HISTORY + 1
    for epoch in range(6, last + 1):
        while story.epoch < epoch or story.phase != "Open":
            story.stock.seal_empty()
        story.model.finalise(epoch, {})
    story.check()
    story.claim("Viktor", 2, VALIDATOR, refused="NothingToClaim")
    story.do(
        "Viktor",
        "withdraw_unbonded",
        role=VALIDATOR,
        then=lambda _: story.model.release("Viktor", 200 * PRZ),
    )
    story.do("Charlie", "unlock_vote", then=lambda _: story.model.unlock_vote("Charlie"))
    story.block()
    story.check()


def test_three_epochs_of_a_whole_network(story: Story) -> None:
    """Three validators, four providers, two ecosystem members, a model; see the parts for what happens."""
    settle(story)
    story.to("Commit")
    story.do("Vera", "commit", commitment=as_hex(bytes(32)), refused="NotAValidator")
    story.block()
    story.finalise("Vera", {})
    story.check()
    first_paid_epoch(story)
    second_paid_epoch(story)
    third_paid_epoch(story)
    treasury, left = story.model.free[TREASURY], story.model.pools[2, VALIDATOR]
    unclaimed = left.total - left.claimed
    assert unclaimed > 0
    long_after(story)
    assert story.model.free[TREASURY] >= treasury + unclaimed
