"""Keys at rest: what goes in comes out, for the right passphrase only, and no file can hurt who opens it."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from substrateinterface import Keypair

from chain_client import sealed_key
from chain_client.account import Account, account_of, address_of, new_phrase, seed_of_phrase, verify
from chain_client.errors import (
    AccountExists,
    BadArgument,
    BadName,
    BadPhrase,
    KeystoreMalformed,
    KeystoreUnusable,
    UnknownAccount,
    WrongPassphrase,
)
from chain_client.keystore import Keystore
from chain_client.sealed_key import FILE_BYTES_MAX, Kdf, decode, seal

QUICK = Kdf(passes=1, memory_bytes=8 << 20)
PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
ADDRESS = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"
"""The well-known development phrase and its account."""


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "keystore", QUICK)


def test_the_account_of_a_mnemonic_is_the_one_that_everybody_derives() -> None:
    assert Account.from_seed(seed_of_phrase(PHRASE)).address == ADDRESS
    assert Account.from_seed(seed_of_phrase(f"  {PHRASE.upper()} ")).address == ADDRESS


def test_a_new_account_opens_with_its_passphrase_and_comes_back_from_its_mnemonic(keystore: Keystore) -> None:
    account, phrase = keystore.create("mine", "correct horse")
    assert keystore.open("mine", "correct horse").account == account.account
    assert keystore.restore("again", phrase, "other").account == account.account
    assert keystore.find("mine").account == account.account
    assert keystore.names() == ["again", "mine"]


def test_the_file_is_private_and_holds_neither_seed_nor_phrase(keystore: Keystore) -> None:
    account, phrase = keystore.create("mine", "correct horse")
    path = keystore.find("mine").path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    text = path.read_text()
    assert phrase.split()[0] not in text
    assert seed_of_phrase(phrase).hex() not in text
    assert account.address in text
    assert not keystore.find("mine").exposed
    path.chmod(0o644)
    assert keystore.find("mine").exposed


def test_nothing_is_left_beside_the_file(keystore: Keystore) -> None:
    keystore.create("mine", "correct horse")
    with pytest.raises(AccountExists):
        keystore.restore("mine", PHRASE, "correct horse")
    assert [path.name for path in keystore.directory.iterdir()] == ["mine.json"]


def test_a_name_that_is_taken_keeps_its_key(keystore: Keystore) -> None:
    account, _ = keystore.create("mine", "one")
    exported = Keystore(keystore.directory.with_name("other"), QUICK)
    exported.restore("x", PHRASE, "two")
    with pytest.raises(AccountExists):
        keystore.create("mine", "two")
    with pytest.raises(AccountExists):
        keystore.import_file("mine", exported.export_file("x"))
    assert keystore.open("mine", "one").account == account.account


def test_an_exported_account_is_imported_with_its_own_passphrase(keystore: Keystore, tmp_path: Path) -> None:
    keystore.restore("mine", PHRASE, "correct horse")
    other = Keystore(tmp_path / "other", QUICK)
    assert address_of(other.import_file("theirs", keystore.export_file("mine"))) == ADDRESS
    assert other.open("theirs", "correct horse").address == ADDRESS


@pytest.mark.parametrize("passphrase", ["", "Correct horse", "correct horse "])
def test_another_passphrase_does_not_open(keystore: Keystore, passphrase: str) -> None:
    keystore.create("mine", "correct horse")
    with pytest.raises(WrongPassphrase):
        keystore.open("mine", passphrase)


def test_an_empty_passphrase_is_refused(keystore: Keystore) -> None:
    with pytest.raises(BadArgument):
        keystore.create("mine", "")
    assert keystore.names() == []


@pytest.mark.parametrize("name", ["", "../evil", "a/b", "A", ".x", "x" * 33, "-x", "é", "a\n"])
def test_names_stay_inside_the_directory(keystore: Keystore, name: str) -> None:
    with pytest.raises(BadName):
        keystore.create(name, "correct horse")
    with pytest.raises(BadName):
        keystore.open(name, "correct horse")


def test_the_names_of_development_accounts_are_not_given_away(keystore: Keystore) -> None:
    with pytest.raises(BadName, match="development"):
        keystore.create("alice", "correct horse")


def test_an_unknown_account_and_an_unusable_directory_say_so(keystore: Keystore, tmp_path: Path) -> None:
    with pytest.raises(UnknownAccount):
        keystore.open("nobody", "x")
    assert keystore.names() == []
    (tmp_path / "file").write_text("")
    with pytest.raises(KeystoreUnusable):
        Keystore(tmp_path / "file" / "below", QUICK).create("mine", "x")


def _changed(**changes: Any) -> bytes:
    made = json.loads(seal(seed_of_phrase(PHRASE), "x", ADDRESS, QUICK))
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = made
        for parent in parents:
            target = target[parent]
        target[last] = value
    return json.dumps(made).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 4_000,
        b'"peerz-account"',
        b" " * (FILE_BYTES_MAX + 1),
        _changed(type="other"),
        _changed(version=2),
        _changed(version="1"),
        _changed(cipher="none"),
        _changed(kdf=None),
        _changed(kdf__name="scrypt"),
        _changed(kdf__memory_bytes=1 << 40),
        _changed(kdf__memory_bytes=1),
        _changed(kdf__memory_bytes=True),
        _changed(kdf__memory_bytes=float(8 << 20)),
        _changed(kdf__passes=10_000),
        _changed(kdf__passes=0),
        _changed(kdf__salt="00"),
        _changed(kdf__salt="zz" * 16),
        _changed(sealed="00" * 71),
        _changed(address="5nonsense"),
        _changed(address=7),
    ],
)
def test_a_hostile_file_is_refused_before_anything_is_derived(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def derive(*arguments: object) -> None:
        raise AssertionError("the KDF ran")

    monkeypatch.setattr(sealed_key, "_box", derive)
    with pytest.raises(KeystoreMalformed):
        decode(data)


@given(st.binary(max_size=300))
def test_no_bytes_give_anything_but_a_key_or_a_refusal(data: bytes) -> None:
    with pytest.raises(KeystoreMalformed):
        decode(data)


def test_a_file_with_another_ones_address_does_not_open(keystore: Keystore) -> None:
    other = Account.development("bob").address
    keystore.import_file("mine", _changed(address=other))
    with pytest.raises(KeystoreMalformed, match="address"):
        keystore.open("mine", "x")


def test_a_flipped_bit_does_not_open(keystore: Keystore) -> None:
    sealed = json.loads(_changed())["sealed"]
    flipped = f"{int(sealed, 16) ^ 1:0{len(sealed)}x}"
    keystore.import_file("mine", _changed(sealed=flipped))
    with pytest.raises(WrongPassphrase):
        keystore.open("mine", "x")


@pytest.mark.parametrize(
    "make",
    [lambda: Kdf(0, 8 << 20), lambda: Kdf(9, 8 << 20), lambda: Kdf(1, (512 << 20) + 1), lambda: Kdf(1, 1 << 20)],
)
def test_the_cost_of_the_kdf_is_bounded(make: Callable[[], Kdf]) -> None:
    with pytest.raises(BadArgument):
        make()


@pytest.mark.parametrize(
    "phrase",
    [
        "",
        "abandon " * 11,
        "abandon " * 12,
        PHRASE.replace("walk", "wolk"),
        " ".join(reversed(PHRASE.split())),
        "word " * 1_000,
    ],
)
def test_words_that_are_no_mnemonic_are_refused_and_not_repeated(phrase: str) -> None:
    with pytest.raises(BadPhrase) as caught:
        seed_of_phrase(phrase)
    assert not {"abandon", "wolk", "curtain"} & set(str(caught.value).split())


def test_keys_stay_out_of_representations_and_logs(keystore: Keystore, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        account = keystore.restore("mine", PHRASE, "correct horse")
        opened = keystore.open("mine", "correct horse")
    seed = seed_of_phrase(PHRASE)
    secret = Keypair.create_from_seed(seed).private_key.hex()
    for text in (repr(account), str(opened), repr(keystore.find("mine")), caplog.text):
        assert secret[:16] not in text
        assert seed.hex()[:16] not in text
        assert "correct horse" not in text


def test_development_accounts_are_those_of_every_development_chain() -> None:
    assert Account.development("alice").address == "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
    assert Account.development("Bob").address == "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"
    with pytest.raises(BadArgument):
        Account.development("mallory")


def test_signatures_hold_for_their_payload_and_account_only() -> None:
    alice, bob = Account.development("alice"), Account.development("bob")
    signature = alice.sign(b"payload")
    assert verify(alice.account, b"payload", signature)
    assert not verify(alice.account, b"Payload", signature)
    assert not verify(bob.account, b"payload", signature)
    assert not verify(alice.account, b"payload", signature[:-1])
    assert not verify(alice.account, b"payload", bytes(64))


@pytest.mark.parametrize("address", ["", "5", ADDRESS[:-1], ADDRESS[:-1] + "W", "0x" + "00" * 32, "1" * 500, "é"])
def test_addresses_with_a_slip_are_refused(address: str) -> None:
    with pytest.raises(BadArgument):
        account_of(address)
    polkadot = "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5"
    with pytest.raises(BadArgument):
        account_of(polkadot)


def test_new_mnemonics_differ() -> None:
    assert len({new_phrase() for _ in range(8)}) == 8
