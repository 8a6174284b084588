"""Options that the commands of accounts and chain share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from peerz_node import options
from peerz_node.wallet.amounts import parse_amount

F = TypeVar("F", bound=Callable[..., Any])


def amount(value: str) -> int:
    """An amount such as 12.5, in the smallest unit: a type of click's."""
    try:
        return parse_amount(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _stack(*stacked: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for option in reversed(stacked):
            function = option(function)
        return function

    return apply


keystore = click.option(
    "--keystore",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where accounts are kept.  [default: ~/.local/share/peerz/keystore]",
)
passphrase_file = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Read the passphrase from the first line of this file instead of asking.",
)
account = _stack(
    click.option("--account", metavar="NAME", help="The account to act for.  [default: the only one there is]"),
    click.option("--dev", is_flag=True, help="Use a development account (alice, bob ...), whose key everybody has."),
    keystore,
)
send = _stack(
    account,
    passphrase_file,
    click.option("--dry-run", is_flag=True, help="Show the effect and the fee, sign nothing."),
    click.option("--final", is_flag=True, help="Wait until the block is final, not only there."),
    click.option(
        "--timeout", type=click.FloatRange(1, 3_600), default=60.0, metavar="S", help="How long to wait.  [default: 60]"
    ),
    options.chain,
    options.as_json,
    options.common,
)
ask = _stack(options.chain, options.as_json, options.common)
