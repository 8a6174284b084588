"""`balance`, `transfer`, `register`, `bond`, `unbond`, `withdraw`, `leave`, `rewards`, `epoch`, on a real chain."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chain_client import calls
from chain_client.account import Account
from chain_client.client import ChainClient
from chain_client.consensus.commit import Entry as RowEntry
from chain_client.consensus.commit import Row, commit_hash
from chain_client.keystore import Keystore
from chain_client.sealed_key import Kdf
from chain_client.seed_chain import chain_end, chain_secret, link
from chain_client.types import PRZ, Entry, ModelShape, Phase
from compute.identity import NodeKey
from peerz_node.wallet import signers
from peerz_node.wallet.amounts import format_amount

from .conftest import LiveChain

Cli = Callable[..., Any]
ALICE, BOB = Account.development("alice"), Account.development("bob")
ROOT = "ab" * 32


@pytest.fixture
def on_chain(peerz: Cli, chain: LiveChain) -> Cli:
    """A command on the chain, as alice unless an account is named."""
    return lambda *arguments: peerz(*arguments, "--dev", "--chain", chain.url)


@pytest.fixture
def quickly(peerz: Cli, quick_chain: LiveChain) -> Cli:
    return lambda *arguments: peerz(*arguments, "--dev", "--chain", quick_chain.url)


def _free(chain: LiveChain, account: Account) -> int:
    return chain.ask(lambda client: client.query.funds(account.account)).free


def _head(chain: LiveChain) -> bytes:
    return chain.ask(lambda client: client.query.head())


# --- balance, transfer


def test_a_dry_run_says_effect_and_fee_and_leaves_no_trace(on_chain: Cli, chain: LiveChain) -> None:
    before = _head(chain)
    shown = on_chain("transfer", BOB.address, "12.5", "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    assert f"send 12.5 PRZ to {BOB.address}, which leaves 999,987.499" in shown.stdout
    assert "fee 0.0007" in shown.stdout
    report = json.loads(on_chain("transfer", BOB.address, "12.5", "--dry-run", "--json").stdout)
    assert report["dry_run"] is True
    assert "block" not in report["calls"][0]
    assert _head(chain) == before


def test_a_transfer_does_what_its_dry_run_said(on_chain: Cli, chain: LiveChain) -> None:
    said = json.loads(on_chain("transfer", "bob", "12.5", "--dry-run", "--json").stdout)["calls"][0]
    alice, bob = _free(chain, ALICE), _free(chain, BOB)
    done = json.loads(on_chain("transfer", "bob", "12.5", "--json", "--final").stdout)["calls"][0]
    assert done["fee"] == said["fee"]
    assert _free(chain, BOB) == bob + 25 * PRZ // 2
    assert _free(chain, ALICE) == alice - 25 * PRZ // 2 - int(done["fee"])
    assert done["block"] == 1


def test_the_key_of_the_keystore_signs_after_its_passphrase(
    peerz: Cli, chain: LiveChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Kdf(1, 8 << 20)
    monkeypatch.setattr(signers, "Keystore", lambda directory: Keystore(directory, quick))
    mine, _ = Keystore(tmp_path / "keys", quick).create("mine", "open sesame")
    options = ("--keystore", str(tmp_path / "keys"), "--chain", chain.url)
    poor = peerz("transfer", BOB.address, "1", *options, stdin="open sesame\n")
    assert poor.exit_code == 2
    assert "name less" in poor.stderr
    assert peerz("transfer", mine.address, "100", "--dev", "--chain", chain.url).exit_code == 0
    wrong = peerz("transfer", BOB.address, "1", *options, stdin="open simsim\n")
    assert wrong.exit_code == 3
    assert "passphrase does not open" in wrong.stderr
    assert peerz("transfer", BOB.address, "1", *options, stdin="open sesame\n").exit_code == 0
    assert _free(chain, BOB) == 1_000_001 * PRZ
    assert "98.99" in peerz("balance", *options).stdout


def test_development_accounts_need_the_flag(peerz: Cli, chain: LiveChain) -> None:
    for arguments in (("transfer", BOB.address, "1"), ("transfer", BOB.address, "1", "--account", "alice")):
        result = peerz(*arguments, "--chain", chain.url)
        assert result.exit_code in (2, 3)
        assert "account" in result.stderr
    assert _free(chain, BOB) == 1_000_000 * PRZ


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("transfer", "5bad", "1"), 2, "copied whole"),
        (("transfer", "alice", "1"), 2, "same account"),
        (("transfer", "bob", "0"), 2, "name more"),
        (("transfer", "bob", "1e3"), 2, "write PRZ as in 12.5"),
        (("transfer", "bob", "2000000"), 2, "name less"),
        (("transfer", "bob", "1000000"), 2, "for fees; name less"),
        (("transfer", "bob", "12,5"), 2, "write PRZ as in 12.5"),
        (("transfer", "bob", "1", "--account", "mallory"), 2, "alice, bob"),
        (("unbond", "compute"), 2, "more than zero"),
        (("unbond", "cook", "1"), 2, "the roles are compute"),
        (("withdraw",), 2, "nothing is unbonding"),
        (("leave", "7"), 5, "no such subject (Peerz.UnknownSubject); check its number"),
        (("bond", "compute", "5000000"), 2, "needs 5,000,000 PRZ"),
        (("register", "provider", "--bond", "5000000"), 2, "needs 5,000,000 PRZ"),
        (("register", "validator"), 2, "--bond 1000"),
        (("register", "model"), 2, "give NAME, or all of --root"),
        (("register", "model", "--root", ROOT), 2, "give NAME, or all of --root"),
        (("register", "model", "x", "--blocks", "1"), 2, "give NAME, or all of --root"),
        (
            ("register", "model", "--root", "ab", "--blocks", "1", "--params-per-block", "1", "--width", "1"),
            2,
            "64 hex",
        ),
    ],
)
def test_refusals_say_what_to_do(
    on_chain: Cli, arguments: tuple[str, ...], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEERZ_IDENTITY", str(tmp_path / "node.key"))
    result = on_chain(*arguments)
    assert result.exit_code == code, result.stderr
    assert says in result.stderr


def test_what_the_account_cannot_pay_is_refused_before_it_is_signed(on_chain: Cli, chain: LiveChain) -> None:
    before = _head(chain)
    for arguments in (("bond", "compute", "5000000"), ("gov", "vote", "compute=100", "--lock", "5000000")):
        for dry in ((), ("--dry-run",)):
            result = on_chain(*arguments, *dry)
            assert (result.exit_code, result.stdout) == (2, "")
            assert "needs 5,000,000 PRZ and 0.00" in result.stderr
    assert _head(chain) == before


def test_one_interrupt_ends_the_wait_for_a_node_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        command = subprocess.Popen(
            [sys.executable, "-m", "peerz_node", "epoch", "--chain", url], stderr=subprocess.PIPE, text=True
        )
        connection, _ = silent.accept()
        with connection:
            connection.recv(1)
            command.send_signal(signal.SIGINT)
            _, said = command.communicate(timeout=10)
    assert command.returncode == 130
    assert "Traceback" not in said


def test_no_chain_is_said_with_what_to_do(peerz: Cli, unused_tcp_port: int) -> None:
    result = peerz("epoch", "--chain", f"ws://127.0.0.1:{unused_tcp_port}")
    assert result.exit_code == 4
    assert "check --chain, or start one" in result.stderr


# --- register, bond, unbond, withdraw, leave


def test_a_provider_registers_in_one_command_and_again_does_nothing(
    on_chain: Cli, chain: LiveChain, tmp_path: Path
) -> None:
    key = tmp_path / "node.key"
    command = ("register", "provider", "--bond", "100", "--identity", str(key))
    planned = json.loads(on_chain(*command, "--dry-run", "--json").stdout)
    assert [call["call"] for call in planned["calls"]] == [
        "Peerz.bond",
        "Peerz.bind_node_key",
        "Peerz.register_provider",
    ]
    done = json.loads(on_chain(*command, "--json").stdout)
    assert [call["fee"] for call in done["calls"]] == [call["fee"] for call in planned["calls"]]
    node = NodeKey.load_or_create(key)
    assert chain.ask(lambda client: client.query.node_key_of(ALICE.account)) == node.public_key
    assert chain.ask(lambda client: client.query.bond(ALICE.account, 0)) == (100 * PRZ, 0)
    again = on_chain("register", "provider", "--identity", str(key))
    assert (again.exit_code, again.stdout) == (0, "nothing is to be done\n")
    stolen = on_chain("register", "provider", "--account", "bob", "--identity", str(key))
    assert stolen.exit_code == 2
    assert "another account" in stolen.stderr
    shown = on_chain("balance").stdout
    assert "bond as compute: 100 PRZ" in shown
    assert "registered as compute (number 0)" in shown


def test_a_validator_registers_the_end_of_a_chain_that_its_key_can_show(
    on_chain: Cli, chain: LiveChain, tmp_path: Path
) -> None:
    key = tmp_path / "node.key"
    done = on_chain("register", "validator", "--bond", "2000", "--identity", str(key))
    assert done.exit_code == 0, done.stderr
    genesis = chain.ask(lambda client: client.query.genesis())
    secret = chain_secret(NodeKey.load_or_create(key), genesis, ALICE.account, number=1)
    seed_chain = chain.ask(lambda client: client.query.seed_chain(0))
    assert seed_chain is not None
    assert seed_chain.tip == chain_end(secret)


def test_a_model_is_registered_by_its_root(on_chain: Cli, chain: LiveChain) -> None:
    shape = ("--blocks", "30", "--params-per-block", "3540000", "--width", "576")
    done = on_chain("register", "model", "--root", ROOT, *shape)
    assert done.exit_code == 0, done.stderr
    assert "deposit of 10 PRZ" in done.stderr
    model = chain.ask(lambda client: client.query.model(bytes.fromhex(ROOT)))
    assert model is not None
    assert model.shape == ModelShape(30, 3_540_000, 576)
    twice = on_chain("register", "model", "--root", f"0x{ROOT}", *shape, "--account", "bob")
    assert twice.exit_code == 5
    assert "somebody registered it before" in twice.stderr


def test_a_bond_goes_in_out_and_home_again(quickly: Cli, quick_chain: LiveChain) -> None:
    assert quickly("bond", "developer", "50").exit_code == 0
    taken = quickly("unbond", "developer")
    assert "take 50 PRZ out of the bond as developer, free from epoch 5 on" in taken.stdout
    early = quickly("withdraw")
    assert (early.exit_code, "free from epoch 5 on" in early.stderr) == (2, True)
    assert "50 PRZ free from epoch 5" in quickly("balance").stdout
    quick_chain.reach(Phase.COMMIT, 5)
    assert "withdraw 50 PRZ from the bond as developer" in quickly("withdraw").stdout
    funds = quick_chain.ask(lambda client: client.query.funds(ALICE.account))
    assert funds.reserved == 0


def test_who_leaves_is_not_registered_any_more(quickly: Cli, quick_chain: LiveChain, tmp_path: Path) -> None:
    quickly("register", "provider", "--identity", str(tmp_path / "key"))
    left = quickly("leave", "0")
    assert left.exit_code == 0, left.stderr
    subject = quick_chain.ask(lambda client: client.query.subject(0))
    assert subject is not None
    assert subject.left is not None
    assert "nothing left to do" in quickly("leave", "0").stderr


# --- epoch, rewards


def test_the_epoch_is_explained_phase_by_phase(peerz: Cli, quick_chain: LiveChain) -> None:
    for phase, says in (
        (Phase.COMMIT, "commit to what they measured in epoch 1"),
        (Phase.REVEAL, "show what they measured in epoch 1"),
        (Phase.OPEN, "epoch 1 is final"),
    ):
        quick_chain.reach(phase, 2)
        shown = peerz("epoch", "--chain", quick_chain.url)
        assert says in shown.stdout
        facts = json.loads(peerz("epoch", "--chain", quick_chain.url, "--json").stdout)
        assert (facts["epoch"], facts["phase"], facts["paused"]) == (2, phase.value.lower(), False)


def test_what_was_earned_is_listed_claimed_and_gone(quickly: Cli, quick_chain: LiveChain, tmp_path: Path) -> None:
    """Bob serves in epoch 2, alice attests it in epoch 3, and each takes home what the list said."""
    key = tmp_path / "alice.key"
    assert quickly("register", "validator", "--bond", "2000", "--identity", str(key)).exit_code == 0
    provider = ("register", "provider", "--bond", "100", "--account", "bob", "--identity", str(tmp_path / "bob.key"))
    assert quickly(*provider).exit_code == 0
    genesis = quick_chain.ask(lambda client: client.query.genesis())
    secret = chain_secret(NodeKey.load_or_create(key), genesis, ALICE.account, number=1)
    quick_chain.reach(Phase.COMMIT, 3)
    (subject,) = quick_chain.ask(lambda client: client.query.attested_by(2, ALICE.account))
    row, evidence, salt = (RowEntry(subject, 1_000, 5_000, 0),), b"\1" * 32, b"\2" * 32

    async def commit(client: ChainClient) -> None:
        commitment = commit_hash(genesis, 2, ALICE.account, Row(row, evidence), salt)
        await client.submit(calls.commit(commitment), ALICE)

    async def reveal(client: ChainClient) -> None:
        shown = link(secret, 0)
        assert shown is not None
        await client.submit(calls.reveal((Entry(subject, 1_000, 5_000, 0),), evidence, salt, shown), ALICE)

    quick_chain.ask(commit)
    quick_chain.reach(Phase.REVEAL, 3)
    quick_chain.ask(reveal)
    quick_chain.reach(Phase.OPEN, 3)
    for name, account in (("alice", ALICE), ("bob", BOB)):
        listed = json.loads(quickly("rewards", "--account", name, "--json").stdout)
        assert listed["due"] == listed["total"] == listed["rewards"][0]["amount"] != "0"
        shown = quickly("rewards", "--account", name)
        assert f"{format_amount(int(listed['due']))} can be claimed now, 0 PRZ later" in shown.stdout
        before = _free(quick_chain, account)
        claimed = json.loads(quickly("rewards", "--claim", "--account", name, "--json").stdout)
        fees = sum(int(call["fee"]) for call in claimed["calls"])
        assert _free(quick_chain, account) == before + int(listed["due"]) - fees
        assert json.loads(quickly("rewards", "--account", name, "--json").stdout)["rewards"] == []
        assert quickly("rewards", "--claim", "--account", name).stdout == "nothing is to be done\n"
