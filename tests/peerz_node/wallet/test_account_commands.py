"""`account ...`: what a shell sees, and what stays on the disk."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from chain_client.keystore import Keystore
from chain_client.sealed_key import Kdf
from peerz_node.wallet import signers

PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
ADDRESS = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"

Cli = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keystore:
    """The user's keystore, with a KDF that takes no second."""
    made = Keystore(tmp_path / "data" / "peerz" / "keystore", Kdf(1, 8 << 20))
    monkeypatch.setattr(signers, "Keystore", lambda directory: Keystore(directory, Kdf(1, 8 << 20)))
    return made


def test_a_new_account_shows_its_words_once_and_opens_with_its_passphrase(peerz: Cli, store: Keystore) -> None:
    made = peerz("account", "new", "mine", stdin="secret words\nsecret words\n")
    assert made.exit_code == 0, made.stderr
    address = made.stdout.split()[1]
    words = made.stdout.split("\n\n")[1].split()
    assert len(words) == 12
    assert "only time" in made.stderr
    assert "secret words" not in made.output
    assert store.open("mine", "secret words").address == address
    shown = peerz("account", "show", "mine")
    assert address in shown.stdout
    assert " ".join(words[:3]) not in " ".join(shown.stdout.split())  # a single word may stand in any text
    assert stat.S_IMODE(store.find("mine").path.stat().st_mode) == 0o600


def test_a_passphrase_can_come_from_a_file(peerz: Cli, store: Keystore, tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("from a file\nnot this\n")
    file.chmod(0o600)
    made = peerz("account", "new", "mine", "--passphrase-file", str(file), "--json")
    facts = json.loads(made.stdout)
    assert facts.keys() == {"name", "address", "mnemonic"}
    assert store.open("mine", "from a file").address == facts["address"]
    assert made.stderr == ""
    file.chmod(0o644)
    assert "chmod 600" in peerz("account", "new", "other", "--passphrase-file", str(file)).stderr


def test_passphrases_that_differ_make_no_account(peerz: Cli, store: Keystore) -> None:
    assert peerz("account", "new", "mine", stdin="one\ntwo\n").exit_code != 0
    assert store.names() == []


def test_accounts_are_listed_and_development_accounts_only_on_demand(peerz: Cli, store: Keystore) -> None:
    assert "account new" in peerz("account", "list").stderr
    store.restore("mine", PHRASE, "x")
    assert peerz("account", "list").stdout.split() == ["mine", ADDRESS]
    assert json.loads(peerz("account", "list", "--json").stdout) == [{"name": "mine", "address": ADDRESS}]
    assert "alice" not in peerz("account", "list").stdout
    assert "alice" in peerz("account", "list", "--dev").stdout


def test_a_damaged_file_is_named_and_hides_no_other(peerz: Cli, store: Keystore) -> None:
    store.restore("mine", PHRASE, "x")
    (store.directory / "broken.json").write_text("{}")
    listed = peerz("account", "list")
    assert "mine" in listed.stdout
    assert "broken: this is no usable keystore file" in listed.stderr


def test_an_account_travels_through_a_file(peerz: Cli, store: Keystore, tmp_path: Path) -> None:
    store.restore("mine", PHRASE, "x")
    file = tmp_path / "exported.json"
    assert peerz("account", "export", "mine", str(file)).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = peerz("account", "export", "mine", str(file))
    assert (again.exit_code, "stays as it is" in again.stderr) == (2, True)
    assert peerz("account", "export", "mine").stdout == file.read_text()
    taken = peerz("account", "import", "theirs", str(file))
    assert taken.stdout.split() == ["theirs", ADDRESS]
    assert store.open("theirs", "x").address == ADDRESS


def test_an_account_comes_back_from_its_words(peerz: Cli, store: Keystore) -> None:
    taken = peerz("account", "import", "mine", "--json", stdin=f"{PHRASE}\nnew one\nnew one\n")
    assert taken.exit_code == 0, taken.stderr
    assert json.loads(taken.stdout) == {"name": "mine", "address": ADDRESS}
    assert "curtain" not in taken.output
    assert store.open("mine", "new one").address == ADDRESS


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "says"),
    [
        (("new", "taken"), "", 3, "choose another name"),
        (("new", "../x"), "", 3, "small letters"),
        (("new", "alice"), "", 3, "development account"),
        (("show", "nobody"), "", 3, "account list"),
        (("export", "nobody"), "", 3, "account list"),
        (("import", "taken", "/dev/null"), "", 3, "choose another name"),
        (("import", "fresh", "/dev/null"), "", 3, "no usable keystore file"),
        (("import", "fresh", "/nowhere/at/all"), "", 2, "cannot be read"),
        (("import", "fresh"), "twelve words that are none\nx\nx\n", 3, "words"),
        (("new", "fresh", "--passphrase-file", "/nowhere"), "", 2, "--passphrase-file"),
        (("new", "fresh", "--passphrase-file", "/dev/null"), "", 2, "no passphrase"),
    ],
)
def test_refusals_say_what_to_do(
    peerz: Cli, store: Keystore, arguments: tuple[str, ...], stdin: str, code: int, says: str
) -> None:
    store.restore("taken", PHRASE, "x")
    result = peerz("account", *arguments, stdin=stdin)
    assert result.exit_code == code, result.stderr
    assert says in result.stderr
    assert store.names() == ["taken"]


def test_a_slip_in_the_words_is_told_before_a_passphrase_is_asked_for(peerz: Cli, store: Keystore) -> None:
    result = peerz("account", "import", "back", stdin=PHRASE.replace("drive", "dirve") + "\n")
    assert result.exit_code == 3
    assert "no mnemonic" in result.stderr
    assert "passphrase" not in result.stderr
    assert "dirve" not in result.stderr


def test_a_passphrase_that_is_no_text_is_refused(peerz: Cli, store: Keystore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click, "prompt", lambda *arguments, **options: "caf\udce9")  # Latin-1 on a UTF-8 terminal
    result = peerz("account", "new", "mine")
    assert result.exit_code == 2
    assert "no text in UTF-8" in result.stderr
    assert store.names() == []


def test_a_keystore_that_cannot_be_read_is_said_by_a_transfer_too(peerz: Cli, tmp_path: Path) -> None:
    (tmp_path / "keys" / "odd.json").mkdir(parents=True)
    result = peerz("transfer", "odd", "1", "--dev", "--dry-run", "--keystore", str(tmp_path / "keys"))
    assert result.exit_code == 3
    assert "choose another --keystore" in result.stderr
