"""`peerz-node balance`, `transfer`, `bond`, `unbond`, `withdraw`, `leave`, `rewards`, `epoch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from peerz_node.invocation import Invocation
from peerz_node.wallet import options as wallet_options

if TYPE_CHECKING:
    from peerz_node.settings import Settings
    from peerz_node.wallet.transact import SendOptions


def sending(invocation: Invocation, given: dict[str, Any]) -> tuple[Settings, SendOptions]:
    """The settings, and how to send, of a command with `wallet_options.send`; takes them out of `given`."""
    from peerz_node.wallet.signers import AccountOptions
    from peerz_node.wallet.transact import SendOptions

    account = AccountOptions(*(given.pop(name) for name in ("account", "dev", "keystore", "passphrase_file")))
    flags = [given.pop(name) for name in ("dry_run", "final", "timeout", "as_json")]
    settings = invocation.overlaid(given.pop("config"), given.pop("debug")).settings(**given)
    return settings, SendOptions(account, *flags)


@click.command(short_help="What an account has.")
@click.argument("address", required=False)
@wallet_options.account
@wallet_options.ask
@click.pass_obj
def balance(
    invocation: Invocation,
    /,
    address: str | None,
    account: str | None,
    dev: bool,
    keystore: Path | None,
    as_json: bool,
    config: Path | None,
    debug: bool,
    **given: Any,
) -> None:
    """Show what an account has: free, held, bonded, locked for a vote; and what it is registered as.

    Of ADDRESS, or of an account of this machine.
    """
    settings = invocation.overlaid(config, debug).settings(**given)
    from peerz_node.wallet.funds import show_balance
    from peerz_node.wallet.signers import AccountOptions

    show_balance(settings, AccountOptions(account, dev, keystore, None), address, as_json=as_json)


@click.command(short_help="Send PRZ.")
@click.argument("to", metavar="TO")
@click.argument("amount", type=wallet_options.amount, metavar="AMOUNT")
@wallet_options.send
@click.pass_obj
def transfer(invocation: Invocation, /, to: str, amount: int, **given: Any) -> None:
    """Send AMOUNT (in PRZ, as in 12.5) to TO: an address, or the name of an account of this machine."""
    settings, send = sending(invocation, given)
    from peerz_node.wallet.funds import send_transfer

    send_transfer(settings, send, to, amount)


@click.command(short_help="Add to a bond.")
@click.argument("role", metavar="ROLE")
@click.argument("amount", type=wallet_options.amount, metavar="AMOUNT")
@wallet_options.send
@click.pass_obj
def bond(invocation: Invocation, /, role: str, amount: int, **given: Any) -> None:
    """Add AMOUNT to the account's bond in ROLE (compute, validator ...). A bond backs what is earned there."""
    settings, send = sending(invocation, given)
    from peerz_node.wallet.registry import add_bond

    add_bond(settings, send, role, amount)


@click.command(short_help="Start to take a bond out.")
@click.argument("role", metavar="ROLE")
@click.argument("amount", type=wallet_options.amount, metavar="[AMOUNT]", required=False)
@wallet_options.send
@click.pass_obj
def unbond(invocation: Invocation, /, role: str, amount: int | None, **given: Any) -> None:
    """Start to take AMOUNT (default: all) out of the account's bond in ROLE. It is free some epochs later."""
    settings, send = sending(invocation, given)
    from peerz_node.wallet.registry import unbond as start

    start(settings, send, role, amount)


@click.command(short_help="Take out what has unbonded.")
@wallet_options.send
@click.pass_obj
def withdraw(invocation: Invocation, /, **given: Any) -> None:
    """Withdraw everything that has unbonded by now, in all roles."""
    settings, send = sending(invocation, given)
    from peerz_node.wallet.registry import withdraw as take

    take(settings, send)


@click.command(short_help="End a registration.")
@click.argument("number", type=click.IntRange(0, 2**32 - 1), metavar="NUMBER")
@wallet_options.send
@click.pass_obj
def leave(invocation: Invocation, /, number: int, **given: Any) -> None:
    """End the work of one of the account's registrations with this epoch; `balance` shows their numbers."""
    settings, send = sending(invocation, given)
    from peerz_node.wallet.registry import leave as end

    end(settings, send, number)


@click.command(short_help="What was earned, and claiming it.")
@click.option("--claim", is_flag=True, help="Claim everything that is due.")
@wallet_options.send
@click.pass_obj
def rewards(invocation: Invocation, /, claim: bool, **given: Any) -> None:
    """List what the account's registrations earned and have not claimed, or claim what is due."""
    settings, send = sending(invocation, given)
    from peerz_node.wallet.earned import claim_rewards, show_rewards

    (claim_rewards if claim else show_rewards)(settings, send)


@click.command(short_help="Where the epoch stands.")
@wallet_options.ask
@click.pass_obj
def epoch(invocation: Invocation, /, as_json: bool, config: Path | None, debug: bool, **given: Any) -> None:
    """Show the epoch, its phase and what comes next."""
    settings = invocation.overlaid(config, debug).settings(**given)
    from peerz_node.wallet.clock import show_epoch

    show_epoch(settings, as_json=as_json)
