"""What somebody will try, by signed extrinsics: each is refused with its own error, and costs the attacker its fee.

One chain is walked through an epoch; every phase has its attacks. Those that need many blocks or a state of their own
are tests of the pallet (`pallets/peerz/src/tests`); `docs/rewards.md` says which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from substrateinterface.exceptions import SubstrateRequestException  # type: ignore[import-untyped]

from tests.e2e.chain.conftest import OpenChain
from tests.e2e.chain.model import COMPUTE, LIQUIDITY, PRZ, VALIDATOR, Entry
from tests.e2e.chain.receipts import issue, report
from tests.e2e.chain.story import BINDING_S, PARAMETERS, Said, Story, as_hex
from tests.e2e.chain.work_roots import FourSessions

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]

YEAR_S = 366 * 24 * 3_600
SEEN = Entry(1_500, 4_000)
VALIDATORS = ("Vera", "Copier", "Elsewhere", "Stale", "Unsorted", "Twice", "Greedy", "Vain", "Idle")


@pytest.fixture(scope="module")
def scene(open_chain: OpenChain) -> Iterator[Story]:
    """A chain with an honest validator, eight that are not, and two providers, after its second epoch."""
    with open_chain({"peerz": {"parameters": PARAMETERS}}) as stock:
        story = Story(stock)
        for who in (*VALIDATORS, "Paula", "Peter", "Mallory"):
            story.fund(who, 20_000 * PRZ)
        story.fund("Poor", PRZ // 20)
        story.block()
        for who in VALIDATORS:
            story.bond(who, VALIDATOR, (12_000 if who == "Vera" else 1_000) * PRZ)
        for who in ("Paula", "Peter"):
            story.bond(who, COMPUTE, 200 * PRZ)
            story.bind(who)
        story.block()
        for who in VALIDATORS:
            story.register_validator(who)
        for who in ("Paula", "Peter"):
            story.register_provider(who)
        story.block()
        for _ in range(2):
            story.finalise("Vera", {})
            story.to("Commit")
        story.check()
        yield story


def test_keys_and_registrations(scene: Story) -> None:
    """A node key speaks for an account when both say so, to this chain, for a time that is not over."""
    expiry = scene.stock.now_s + BINDING_S
    own, paulas = scene.binding("Mallory", expiry), scene.binding("Paula", expiry + BINDING_S)
    free_key = scene.binding("Mallory", expiry, node="Somebody")

    def bind(error: str, binding: dict[str, Any], **changed: Any) -> None:
        scene.do("Mallory", "bind_node_key", refused=error, **{**binding, **changed})

    scene.do("Mallory", "register_provider", refused="NoNodeKey")
    bind("NodeKeyTaken", scene.binding("Mallory", expiry, node="Paula"))
    # A key that is free, without its word; and with a word that another key gave to another account.
    bind("BadNodeSignature", free_key, node_signature=own["node_signature"])
    bind("BadNodeSignature", own, node_signature=paulas["node_signature"])
    bind("BadAccountSignature", own, account_signature=paulas["account_signature"])
    bind("BadAccountSignature", scene.binding("Somebody", expiry))
    bind("BadAccountSignature", scene.binding("Mallory", expiry, genesis=bytes(32)))
    bind("BadAccountSignature", own, expiry=expiry + 1)
    bind("BindingExpired", scene.binding("Mallory", scene.stock.now_s - 1))
    bind("BindingTooLong", scene.binding("Mallory", expiry + YEAR_S))
    # An old binding of one's own, sent again.
    scene.do("Paula", "bind_node_key", refused="NotARenewal", **scene.binding("Paula", expiry - BINDING_S // 2))
    scene.do("Paula", "register_provider", refused="AlreadyRegistered")
    scene.do("Mallory", "register_validator", refused="BelowMinimumBond", seed_chain=as_hex(bytes(32)))
    scene.do("Mallory", "join_role", refused="BelowMinimumBond", role=LIQUIDITY)
    scene.block()
    scene.check()


def test_votes(scene: Story) -> None:
    """A vote gives away one whole, once per role, and locks what it weighs."""

    def vote(error: str, shares: list[tuple[int, int]], amount: int = 20 * PRZ) -> None:
        scene.do("Mallory", "vote", refused=error, shares=(shares,), amount=amount, evict=None)

    vote("VoteDoesNotSum", [(0, 9_999)])
    vote("VoteDoesNotSum", [(0, 6_000), (1, 4_001)])
    vote("VoteDoesNotSum", [(0, 65_535), (1, 10_001)])
    vote("VoteDoesNotSum", [])
    vote("VoteNotSorted", [(1, 5_000), (0, 5_000)])
    vote("VoteNotSorted", [(0, 5_000), (0, 5_000)])
    vote("VoteForClosedRole", [(0, 5_000), (15, 5_000)])
    vote("VoteTooSmall", [(0, 10_000)], amount=10 * PRZ - 1)
    vote("VoteTooSmall", [(0, 10_000)], amount=0)
    vote("FundsUnavailable", [(0, 10_000)], amount=30_000 * PRZ)
    scene.vote("Mallory", {0: 10_000}, 20 * PRZ)
    vote("VoteShrinks", [(0, 10_000)], amount=19 * PRZ)
    scene.do("Mallory", "unlock_vote", refused="VoteStillCounts")
    scene.block()
    scene.check()


def test_dust(scene: Story) -> None:
    """Whatever the chain has to remember is paid for with a deposit, which somebody without funds does not have."""
    shape: dict[str, Any] = {"blocks": 1, "params_per_block": 1, "d_model": 1}
    dust: dict[str, Any] = {"dest": scene.stock.address("Nobody"), "value": PRZ // 1_000 - 1}
    binding = scene.binding("Poor", scene.stock.now_s + BINDING_S)
    scene.do("Poor", "bind_node_key", refused="FundsUnavailable", **binding)
    scene.do("Poor", "register_model", refused="FundsUnavailable", root=as_hex(b"x" * 32), shape=shape)
    scene.do("Poor", "bond", refused="FundsUnavailable", role=COMPUTE, amount=PRZ)
    scene.do("Poor", "bond", refused="ZeroAmount", role=COMPUTE, amount=0)
    scene.do("Poor", "transfer_keep_alive", refused="BelowMinimum", pallet="Balances", **dust)
    scene.block()
    with pytest.raises(SubstrateRequestException, match="1010"):  # who does not exist is not even heard
        scene.stock.send("Nobody", "register_provider")
    scene.check()


def test_false_evidence(scene: Story) -> None:
    """Only two receipts that the accused's key signed for one step convict it."""
    (peters,) = issue(scene, "Peter", (2,))[1]
    (paulas,) = issue(scene, "Paula", (2,))[1]
    report(scene, "Mallory", "Paula", outputs=(1, 1), refused="SameReceipt")
    report(scene, "Mallory", "Paula", second=replace(paulas, seq=1), refused="DifferentSteps")
    report(scene, "Mallory", "Paula", second=replace(paulas, out_hash=bytes(32)), refused="BadReceiptSignature")
    report(scene, "Mallory", "Paula", second=peters, refused="BadReceiptSignature")
    report(scene, "Mallory", "Somebody", refused="UnknownNodeKey")
    scene.block()
    scene.check()


def test_the_walk_through_an_epoch(scene: Story) -> None:
    """Commit, reveal, finalise, claim, dispute: what validators and others try in each."""
    if scene.phase != "Open":
        scene.finalise("Vera", {})
    scene.to("Commit")
    paula, peter = (scene.index[who, COMPUTE] for who in ("Paula", "Peter"))
    honest: Said = {paula: SEEN, peter: SEEN}
    rows: dict[str, Said] = {
        "Vera": honest,
        "Unsorted": [(peter, SEEN), (paula, SEEN)],
        "Twice": [(paula, SEEN), (paula, SEEN)],
        "Greedy": [(paula, Entry(4_001, 4_000))],
        "Vain": [(scene.index["Vain", VALIDATOR], SEEN)],
    }
    work_roots(scene, paula, peter)
    commit_phase(scene, rows)
    reveal_phase(scene, rows)
    after_revealing(scene, honest)
    disputes(scene, paula)


def work_roots(scene: Story, paula: int, peter: int) -> None:
    """An honest root stands against moved proofs and second pre-images; one that counts a session twice falls."""
    honest, doubled = FourSessions(b"abcd"), FourSessions(b"abca")
    scene.do("Paula", "submit_work_root", **honest.posted())
    scene.do("Paula", "submit_work_root", refused="AlreadyPosted", **doubled.posted())
    scene.do("Peter", "submit_work_root", refused="BadWorkRoot", root=as_hex(bytes(32)), sessions=4)
    scene.do("Peter", "submit_work_root", **doubled.posted())
    scene.do("Mallory", "submit_work_root", refused="UnknownSubject", **doubled.posted())
    scene.block()

    def refute(index: int, first: object, second: object, refused: str | None = None) -> None:
        then = None if refused else lambda _: scene.model.convicted(index, "Mallory", scene.epoch)
        named: dict[str, Any] = {"epoch": scene.epoch, "index": index, "first": first, "second": second}
        scene.do("Mallory", "refute_work_root", refused=refused, then=then, **named)

    first = honest.proof(0)
    refute(paula, first, honest.proof(0, claimed_position=3), "BadProof")
    # An inner node in the place of a leaf: the upper part of a true proof, in a tree that would have two leaves.
    refute(paula, first, honest.proof(0, claimed_position=1, skipped=1), "BadProof")
    refute(paula, first, FourSessions(b"zzza").proof(3), "BadProof")
    refute(paula, first, first, "SameLeaf")
    refute(paula, first, honest.proof(3), "DifferentSessions")
    refute(scene.index["Idle", VALIDATOR], first, honest.proof(3), "UnknownWorkRoot")
    refute(peter, doubled.proof(0), doubled.proof(3))
    refute(peter, doubled.proof(0), doubled.proof(3), "UnknownWorkRoot")
    scene.block()
    scene.check()


def commit_phase(scene: Story, rows: dict[str, Said]) -> None:
    honest, work = rows["Vera"], scene.epoch - 1
    for who, row in rows.items():
        scene.commit(who, row)
    copied = {
        "Copier": scene.commitment("Vera", honest),
        "Elsewhere": scene.commitment("Elsewhere", honest, genesis=bytes([1]) * 32),
        "Stale": scene.commitment("Stale", honest, work=work - 1),
    }
    for who, commitment in copied.items():
        scene.do(who, "commit", commitment=commitment)
    scene.do("Vera", "commit", refused="AlreadyCommitted", commitment=as_hex(bytes(32)))
    scene.do("Mallory", "commit", refused="NotAValidator", commitment=as_hex(bytes(32)))
    scene.reveal("Vera", honest, refused="WrongPhase")
    scene.do("Vera", "finalise", refused="WrongPhase")
    scene.block()
    scene.check()


def reveal_phase(scene: Story, rows: dict[str, Said]) -> None:
    scene.to("Reveal")
    honest = rows["Vera"]
    scene.do("Idle", "commit", refused="WrongPhase", commitment=as_hex(bytes(32)))
    scene.reveal("Idle", honest, refused="NotCommitted")
    for who in ("Copier", "Elsewhere", "Stale"):
        scene.reveal(who, honest, refused="CommitmentMismatch")
    for who, error in {
        "Unsorted": "RowNotSorted",
        "Twice": "DuplicateEntry",
        "Greedy": "UnitsAboveCapacity",
        "Vain": "NotAttestable",
    }.items():
        scene.reveal(who, rows[who], refused=error)
    scene.reveal("Vera", rows["Greedy"], refused="CommitmentMismatch")
    scene.reveal("Vera", honest, refused="CommitmentMismatch", salt=as_hex(bytes(32)))
    scene.reveal("Vera", honest, refused="WrongLink", link=as_hex(bytes(32)))
    scene.reveal("Vera", honest)
    scene.block()
    scene.reveal("Vera", honest, refused="AlreadyRevealed")
    scene.block()
    scene.check()


def after_revealing(scene: Story, honest: Said) -> None:
    """Those that were caught have hidden their rows, and are accused of it; the honest one's row counts."""
    assert isinstance(honest, dict)
    scene.to("Finalise")
    scene.reveal("Greedy", honest, refused="WrongPhase")
    scene.block()
    hidden = tuple(who for who in VALIDATORS if who not in ("Vera", "Idle"))
    scene.finalise("Mallory", {"Vera": honest}, hidden)
    assert [slash.owner for slash in scene.model.slashes] == ["Peter", *hidden]
    assert (scene.epoch - 1, scene.index["Peter", COMPUTE]) not in scene.model.earnings
    work, paula = scene.epoch - 1, scene.index["Paula", COMPUTE]
    scene.do("Mallory", "claim", refused="NotOwner", epoch=work, index=paula)
    scene.do("Paula", "claim", refused="NothingToClaim", epoch=work + 1, index=paula)
    scene.claim("Paula", work, COMPUTE)
    scene.claim("Paula", work, COMPUTE, refused="AlreadyClaimed")
    scene.claim("Greedy", work, VALIDATOR, refused="NothingToClaim")
    scene.block()
    scene.check()


def disputes(scene: Story, paula: int) -> None:
    """While somebody is accused, nothing of its bonds leaves."""
    evidence: dict[str, Any] = {
        "index": paula,
        "evidence": as_hex(bytes([3]) * 32),
        "kernel_class": as_hex(bytes([4]) * 32),
    }
    deposit = PARAMETERS["dispute_deposit"]
    scene.do("Mallory", "open_dispute", refused="NotAValidator", **evidence)
    scene.do("Vera", "open_dispute", refused="WrongRoleKind", **{**evidence, "index": scene.index["Idle", VALIDATOR]})
    scene.do("Paula", "unbond", role=COMPUTE, amount=PRZ, then=lambda _: scene.model.unbond("Paula", COMPUTE, PRZ))
    scene.block()
    scene.do("Vera", "open_dispute", **evidence, then=lambda _: scene.model.hold("Vera", deposit))
    scene.block()
    scene.do("Paula", "unbond", refused="Accused", role=COMPUTE, amount=PRZ)
    scene.do("Paula", "withdraw_unbonded", refused="Accused", role=COMPUTE)
    scene.do("Greedy", "unbond", refused="Accused", role=VALIDATOR, amount=PRZ)
    scene.do("Idle", "open_dispute", refused="DisputeExists", **evidence)
    scene.do("Idle", "judge_dispute", refused="NoPanelYet", index=paula, reproduced=True)
    scene.do("Paula", "close_dispute", refused="TooEarly", index=paula)
    scene.block()
    scene.check()
