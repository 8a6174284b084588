"""The account commands: keys on this machine, without any chain."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import click

from chain_client.account import DEVELOPMENT_ACCOUNTS, Account, address_of, seed_of_phrase
from chain_client.errors import KeystoreError
from chain_client.keystore import Keystore
from chain_client.private_file import create_private, read_bounded
from chain_client.sealed_key import FILE_BYTES_MAX
from peerz_node.wallet.errors import ChainTrouble, WalletError
from peerz_node.wallet.signers import keystore_of, passphrase


@dataclass(frozen=True, slots=True)
class AccountsRequest:
    """What every account command was told."""

    keystore: Path | None
    passphrase_file: Path | None
    as_json: bool

    def store(self) -> Keystore:
        return keystore_of(self.keystore)

    def new_passphrase(self, name: str) -> str:
        return passphrase(self.passphrase_file, f"New passphrase of {name}", confirm=True)


def new_account(request: AccountsRequest, name: str) -> None:
    """Makes an account, and shows its mnemonic this one time."""
    store = request.store()
    try:
        store.require_free(name)
        account, phrase = store.create(name, request.new_passphrase(name))
    except KeystoreError as error:
        raise ChainTrouble(error) from None
    if request.as_json:
        click.echo(json.dumps({"name": name, "address": account.address, "mnemonic": phrase}))
        return
    click.echo(f"{name}  {account.address}")
    click.echo(f"\n  {phrase}\n")
    click.echo(
        "These words are the account, and this is the only time that they are shown: write them down on paper. "
        "Who has them has the funds; who loses them and the passphrase loses the funds.",
        err=True,
    )


def list_accounts(request: AccountsRequest, *, dev: bool) -> None:
    """Lists accounts; those that everybody has the keys of only on demand."""
    store = request.store()
    rows, damaged = [], []
    try:
        for name in store.names():
            try:
                rows.append(store.find(name))
            except KeystoreError as error:
                damaged.append((name, str(error)))
    except KeystoreError as error:
        raise ChainTrouble(error) from None
    found = [(row.name, address_of(row.account)) for row in rows]
    if dev:
        found += [(name, Account.development(name).address) for name in DEVELOPMENT_ACCOUNTS]
    for row in rows:
        if row.exposed:
            click.echo(f"peerz-node: other users may read {row.path}: run chmod 600 on it", err=True)
    for name, reason in damaged:
        click.echo(f"peerz-node: {name}: {reason}", err=True)
    if request.as_json:
        click.echo(json.dumps([{"name": name, "address": address} for name, address in found]))
        return
    for name, address in found:
        click.echo(f"{name:20} {address}")
    if not found:
        click.echo("there is no account yet; make one: peerz-node account new NAME", err=True)


def show_account(request: AccountsRequest, name: str) -> None:
    """What can be said of an account without its passphrase."""
    try:
        found = request.store().find(name)
    except KeystoreError as error:
        raise ChainTrouble(error) from None
    facts = {
        "name": name,
        "address": address_of(found.account),
        "public_key": "0x" + found.account.hex(),
        "file": str(found.path),
    }
    if request.as_json:
        click.echo(json.dumps(facts))
        return
    for key, value in facts.items():
        click.echo(f"{key.replace('_', ' '):12} {value}")


def export_account(request: AccountsRequest, name: str, file: Path) -> None:
    """Writes the sealed account to a new file, or to stdout for `-`."""
    try:
        data = request.store().export_file(name)
    except KeystoreError as error:
        raise ChainTrouble(error) from None
    if str(file) == "-":
        click.echo(data.decode(), nl=False)
        return
    try:
        created = create_private(file, data)
    except OSError as error:
        raise WalletError(f"{file} cannot be written: {error.strerror}; choose another file") from None
    if not created:
        raise WalletError(f"{file} exists and stays as it is; choose another file")
    click.echo(f"{name} is in {file}, still sealed with its passphrase", err=True)


def import_account(request: AccountsRequest, name: str, file: Path | None) -> None:
    """Takes an exported file in, or an account by its mnemonic."""
    store = request.store()
    try:
        store.require_free(name)
        if file is not None:
            address = address_of(store.import_file(name, _contents(file)))
        else:
            phrase: str = click.prompt(f"Mnemonic of {name}", hide_input=True, err=True)
            seed_of_phrase(phrase)  # a slip in it is told before a passphrase is asked for
            address = store.restore(name, phrase, request.new_passphrase(name)).address
    except KeystoreError as error:
        raise ChainTrouble(error) from None
    click.echo(json.dumps({"name": name, "address": address}) if request.as_json else f"{name}  {address}")


def _contents(file: Path) -> bytes:
    try:
        return read_bounded(file, FILE_BYTES_MAX)
    except OSError as error:
        raise WalletError(f"{file} cannot be read: {error.strerror}; check its name") from None
