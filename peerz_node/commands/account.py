"""`peerz-node account`: the accounts of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from peerz_node import options
from peerz_node.invocation import Invocation
from peerz_node.wallet import options as wallet_options


@click.group()
def account() -> None:
    """Make, list, save and restore accounts. Their keys stay on this machine, sealed with a passphrase."""


def _request(
    invocation: Invocation, given: dict[str, Any], keystore: Path | None, passphrase_file: Path | None = None
) -> Any:
    from peerz_node.wallet.accounts import AccountsRequest

    as_json = given.pop("as_json", False)
    invocation.overlaid(given.pop("config"), given.pop("debug")).settings(**given)
    return AccountsRequest(keystore, passphrase_file, as_json)


@account.command("new", short_help="Make an account; its words are shown once.")
@click.argument("name", metavar="NAME")
@wallet_options.keystore
@wallet_options.passphrase_file
@options.as_json
@options.common
@click.pass_obj
def new(
    invocation: Invocation, /, name: str, keystore: Path | None, passphrase_file: Path | None, **given: Any
) -> None:
    """Make an account and show the twelve words that it can be restored from. They are kept nowhere."""
    request = _request(invocation, given, keystore, passphrase_file)
    from peerz_node.wallet.accounts import new_account

    new_account(request, name)


@account.command("list", short_help="The accounts of this machine.")
@click.option("--dev", is_flag=True, help="List the development accounts too, whose keys everybody has.")
@wallet_options.keystore
@options.as_json
@options.common
@click.pass_obj
def list_(invocation: Invocation, /, dev: bool, keystore: Path | None, **given: Any) -> None:
    """List the accounts of this machine with their addresses."""
    request = _request(invocation, given, keystore)
    from peerz_node.wallet.accounts import list_accounts

    list_accounts(request, dev=dev)


@account.command("show", short_help="Address and file of an account.")
@click.argument("name", metavar="NAME")
@wallet_options.keystore
@options.as_json
@options.common
@click.pass_obj
def show(invocation: Invocation, /, name: str, keystore: Path | None, **given: Any) -> None:
    """Show the address, the public key and the file of an account. No passphrase is needed."""
    request = _request(invocation, given, keystore)
    from peerz_node.wallet.accounts import show_account

    show_account(request, name)


@account.command("export", short_help="Save an account, sealed, to a file.")
@click.argument("name", metavar="NAME")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), default="-")
@wallet_options.keystore
@options.common
@click.pass_obj
def export(invocation: Invocation, /, name: str, file: Path, keystore: Path | None, **given: Any) -> None:
    """Write an account to FILE (default: stdout), still sealed with its passphrase."""
    request = _request(invocation, given, keystore)
    from peerz_node.wallet.accounts import export_account

    export_account(request, name, file)


@account.command("import", short_help="Restore an account from a file or from its words.")
@click.argument("name", metavar="NAME")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@wallet_options.keystore
@wallet_options.passphrase_file
@options.as_json
@options.common
@click.pass_obj
def import_(
    invocation: Invocation,
    /,
    name: str,
    file: Path | None,
    keystore: Path | None,
    passphrase_file: Path | None,
    **given: Any,
) -> None:
    """Take in an exported FILE, or without one ask for the words of an account and seal it here."""
    request = _request(invocation, given, keystore, passphrase_file)
    from peerz_node.wallet.accounts import import_account

    import_account(request, name, file)
