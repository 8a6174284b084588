"""Which account a command acts for, and how its key is opened: late, when everything else is known to be in order."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click

from chain_client.account import Account, address_of
from chain_client.errors import KeystoreError
from chain_client.keystore import Keystore
from chain_client.types import AccountId
from peerz_node.identity_file import default_identity_dir
from peerz_node.wallet.errors import ChainTrouble, WalletError

_PASSPHRASE_BYTES_MAX = 1_024


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """What a command was told about its account."""

    account: str | None
    dev: bool
    keystore: Path | None
    passphrase_file: Path | None


class Holder:
    """The account that a command acts for. Its key is opened once, when it is needed."""

    def __init__(self, name: str, account: AccountId, options: AccountOptions) -> None:
        self.name = name
        self.account = account
        self.options = options
        self._opened: Account | None = None

    def __str__(self) -> str:
        return f"{self.name} ({address_of(self.account)})"

    def open(self) -> Account:
        """The account with its key; asks for the passphrase when no file has it."""
        if self._opened is None:
            self._opened = Account.development(self.name) if self.options.dev else self._unsealed()
        return self._opened

    def _unsealed(self) -> Account:
        keystore = keystore_of(self.options.keystore)
        try:
            return keystore.open(self.name, passphrase(self.options.passphrase_file, f"Passphrase of {self.name}"))
        except KeystoreError as error:
            raise ChainTrouble(error) from None


def keystore_of(directory: Path | None) -> Keystore:
    """The keystore in `directory`, without one that of the user."""
    return Keystore(directory or default_identity_dir() / "keystore")


def holder(options: AccountOptions) -> Holder:
    """The account of a command, its key not opened. Raises WalletError, ChainTrouble."""
    if options.dev:
        name = options.account or "alice"
        return Holder(name.lower(), _development(name).account, options)
    keystore = keystore_of(options.keystore)
    try:
        name = options.account or _only_one(keystore)
        return Holder(name, keystore.find(name).account, options)
    except KeystoreError as error:
        raise ChainTrouble(error) from None


def passphrase(file: Path | None, prompt: str, *, confirm: bool = False) -> str:
    """The passphrase in `file` (its first line), else typed without showing it. Raises WalletError."""
    if file is None:
        typed: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
        try:
            typed.encode()
        except UnicodeEncodeError:
            raise WalletError("what was typed is no text in UTF-8; check the encoding of the terminal") from None
        return typed
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & 0o077:
                click.echo(f"peerz-node: other users may read {file}: run chmod 600 on it", err=True)
            data = opened.read(_PASSPHRASE_BYTES_MAX + 1)
        text = data.decode().splitlines()[0] if data else ""
    except (OSError, UnicodeDecodeError) as error:
        raise WalletError(f"the passphrase cannot be read from {file}: {error}; check --passphrase-file") from None
    if not text or len(data) > _PASSPHRASE_BYTES_MAX:
        raise WalletError(f"{file} holds no passphrase in its first line; check --passphrase-file")
    return text


def _development(name: str) -> Account:
    from chain_client.errors import BadArgument

    try:
        return Account.development(name)
    except BadArgument as error:
        raise ChainTrouble(error) from None


def _only_one(keystore: Keystore) -> str:
    names = keystore.names()
    if len(names) == 1:
        return names[0]
    if not names:
        raise WalletError("there is no account yet; make one: peerz-node account new NAME (or try --dev)")
    raise WalletError(f"say which account: --account {names[0]} (there are {len(names)})")
