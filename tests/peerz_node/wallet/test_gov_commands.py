"""`gov ...`: what is shown is what the chain has, and the tally is what the chain then decides."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from chain_client.consensus import PPM
from chain_client.types import PRZ, Phase, RoleKind, RoleTerms, RoleView
from peerz_node.console import stdout_console
from peerz_node.wallet.governance import Roles
from peerz_node.wallet.governance_text import roles_text

from .conftest import LiveChain
from .test_wallet_commands import ALICE

Cli = Callable[..., Any]
HALF = "compute=50,validator=30,model=10,developer=10"


@pytest.fixture
def quickly(peerz: Cli, quick_chain: LiveChain) -> Cli:
    return lambda *arguments: peerz(*arguments, "--chain", quick_chain.url)


def test_roles_are_a_table_with_bars_and_the_chains_numbers(peerz: Cli, chain: LiveChain) -> None:
    shown = peerz("gov", "roles", "--chain", chain.url)
    assert shown.exit_code == 0, shown.stderr
    lines = {line.split()[0]: line for line in shown.stdout.splitlines()}
    assert "60.00 %" in lines["compute"]
    assert lines["compute"].count("█") > lines["validator"].count("█") > 0
    assert "█" not in lines["social"]
    assert "1,000 PRZ" in lines["validator"]
    assert "the next review is in epoch 28" in shown.stdout
    facts = json.loads(peerz("gov", "roles", "--chain", chain.url, "--json").stdout)
    assert [role["weight"] for role in facts["roles"]] == [600_000, 200_000, 100_000, 100_000, 0, 0]


def test_the_tally_is_what_the_next_review_decides(quickly: Cli, quick_chain: LiveChain) -> None:
    votes = (
        ("alice", "1000", HALF),
        ("bob", "600", "compute=20,validator=60,model=20"),
        ("charlie", "3", "social=100"),
    )
    quick_chain.reach(Phase.OPEN, 1)
    quick_chain.pass_blocks(1)
    for name, lock, shares in votes[:2]:
        done = quickly("gov", "vote", shares, "--lock", lock, "--dev", "--account", name)
        assert done.exit_code == 0, done.stderr
    small = quickly("gov", "vote", votes[2][2], "--lock", "3", "--dev", "--account", "charlie")
    assert (small.exit_code, "--lock 10" in small.stderr) == (2, True)
    foreseen = json.loads(quickly("gov", "tally", "--json").stdout)
    assert foreseen["quorum_met"] is True
    assert foreseen["locked"] == str(1_600 * PRZ)
    number = quick_chain.ask(lambda client: client.query.review_number())
    due = foreseen["next_review"]
    quick_chain.reach(Phase.OPEN, due)
    record = quick_chain.ask(lambda client: client.query.reviews())[number]
    assert [role["next"] for role in foreseen["roles"]] == list(record.weights)
    assert record.epoch == due
    history = quickly("gov", "history")
    assert f"review {number:>4}  epoch {due:>6}" in history.stdout
    drawn = json.loads(quickly("gov", "history", "--json").stdout)["reviews"]
    assert list(drawn[-1]["weights"].values()) == list(record.weights)


def test_the_tally_explains_itself(quickly: Cli) -> None:
    empty = quickly("gov", "tally")
    assert "too little: the weights stay" in empty.stdout
    quickly("gov", "vote", HALF, "--lock", "100", "--dev")
    shown = quickly("gov", "tally").stdout
    assert "100 PRZ of 100 PRZ locked are counted, 100.0 % of at least 20 %: enough" in shown
    assert ALICE.address in shown


def test_a_vote_locks_confirms_grows_and_is_taken_back(quickly: Cli, quick_chain: LiveChain) -> None:
    dry = quickly("gov", "vote", HALF, "--dev", "--dry-run")
    assert "vote compute 50 %, validator 30 %, model 10 %, developer 10 % with 10 PRZ locked" in dry.stdout
    assert quick_chain.ask(lambda client: client.query.vote(ALICE.account)) is None
    quickly("gov", "vote", HALF, "--lock", "40", "--dev")
    assert "with 40 PRZ locked (0 PRZ more than now)" in quickly("gov", "vote", "compute=100", "--dev").stdout
    shrunk = quickly("gov", "vote", HALF, "--lock", "20", "--dev")
    assert (shrunk.exit_code, "--lock 40" in shrunk.stderr) == (2, True)
    assert "free from epoch 2 on" in quickly("gov", "vote", "--remove", "--dev").stdout
    early = quickly("gov", "vote", "--remove", "--dev")
    assert (early.exit_code, "released in epoch 2" in early.stderr) == (2, True)
    quick_chain.reach(Phase.COMMIT, 2)
    assert "release 40 PRZ" in quickly("gov", "vote", "--remove", "--dev").stdout
    assert quick_chain.ask(lambda client: client.query.funds(ALICE.account)).reserved == 0
    assert "cast one" in quickly("gov", "vote", "--remove", "--dev").stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compute=60",), "sum to 60, not to 100"),
        (("cook=100",), "the roles are compute, validator"),
        ((), "give SHARES, or --remove"),
        (("compute=100", "--remove"), "give SHARES, or --remove"),
        (("--remove", "--lock", "5"), "give SHARES, or --remove"),
        (("compute=100", "--lock", "x"), "write PRZ as in"),
    ],
)
def test_wrong_votes_are_refused_before_anything_is_signed(
    peerz: Cli, chain: LiveChain, arguments: tuple[str, ...], says: str
) -> None:
    result = peerz("gov", "vote", *arguments, "--dev", "--chain", chain.url)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_chain_without_reviews_says_so(peerz: Cli, chain: LiveChain) -> None:
    assert peerz("gov", "history", "--chain", chain.url).stdout == "no review was held yet\n"


def test_a_vote_may_name_whom_it_evicts(peerz: Cli, chain: LiveChain) -> None:
    options = ("--dev", "--chain", chain.url)
    named = json.loads(peerz("gov", "vote", HALF, "--evict", ALICE.address, *options, "--dry-run", "--json").stdout)
    plain = json.loads(peerz("gov", "vote", HALF, *options, "--dry-run", "--json").stdout)
    assert int(named["calls"][0]["fee"]) > int(plain["calls"][0]["fee"])  # the address is in the call
    wrong = peerz("gov", "vote", HALF, "--evict", "5bad", *options)
    assert (wrong.exit_code, "copied whole" in wrong.stderr) == (2, True)
    both = peerz("gov", "vote", "--remove", "--evict", ALICE.address, *options)
    assert (both.exit_code, "--remove alone" in both.stderr) == (2, True)


def test_names_from_a_chain_are_shown_as_they_are() -> None:
    terms = RoleTerms(True, 0, PPM, 0, 0)
    shown = stdout_console()
    with shown.capture() as captured:
        for part in roles_text(Roles(1, 2, (RoleView(0, "[/x][red]\x1b[2J", RoleKind.MEMBER, terms, 0, PPM, 0),))):
            shown.print(part)
    assert "[/x][red]?[2J" in captured.get()
