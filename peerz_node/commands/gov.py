"""`peerz-node gov`: the weights of the roles, and voting on them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import click

from peerz_node.commands.wallet import sending
from peerz_node.invocation import Invocation
from peerz_node.wallet import options as wallet_options


@click.group()
def gov() -> None:
    """See how rewards are divided between the roles, and vote on it."""


def _show(
    invocation: Invocation, given: dict[str, Any], read: Callable[..., Awaitable[Any]], text: Callable[[Any], Any]
) -> None:
    from peerz_node.console import stdout_console
    from peerz_node.wallet.session import ask_chain

    as_json = given.pop("as_json")
    settings = invocation.overlaid(given.pop("config"), given.pop("debug")).settings(**given)
    found = ask_chain(settings, read)
    if as_json:
        click.echo(json.dumps(found.as_json()))
        return
    console = stdout_console()
    for part in text(found):
        console.print(part)


@gov.command("roles", short_help="The weights in force.")
@wallet_options.ask
@click.pass_obj
def roles(invocation: Invocation, /, **given: Any) -> None:
    """Show each role's weight, what scarcity makes of it, its bounds, and when the next review is."""
    from peerz_node.wallet.governance import read_roles
    from peerz_node.wallet.governance_text import roles_text

    _show(invocation, given, read_roles, roles_text)


@gov.command("tally", short_help="What would be decided now, and why.")
@wallet_options.ask
@click.pass_obj
def tally(invocation: Invocation, /, **given: Any) -> None:
    """Count the votes as the next review will: medians, caps, quorum, and the weights that come of them."""
    from peerz_node.wallet.governance import read_tally
    from peerz_node.wallet.governance_text import tally_text

    _show(invocation, given, read_tally, tally_text)


@gov.command("history", short_help="The weights over the reviews.")
@wallet_options.ask
@click.pass_obj
def history(invocation: Invocation, /, **given: Any) -> None:
    """Draw the weights that the last reviews decided."""
    from peerz_node.wallet.governance import read_history
    from peerz_node.wallet.governance_text import history_text

    _show(invocation, given, read_history, history_text)


@gov.command("vote", short_help="Vote on the weights.")
@click.argument("shares", metavar="[SHARES]", required=False)
@click.option(
    "--lock",
    type=wallet_options.amount,
    metavar="AMOUNT",
    help="PRZ to lock for the vote: the more, the heavier.  [default: what is locked, or the least]",
)
@click.option(
    "--evict", metavar="ADDRESS", help="Whose smaller vote makes room, where there are as many as there can be."
)
@click.option("--remove", is_flag=True, help="Take the vote back; later, release its lock.")
@wallet_options.send
@click.pass_obj
def vote(
    invocation: Invocation,
    /,
    shares: str | None,
    lock: int | None,
    evict: str | None,
    remove: bool,
    **given: Any,
) -> None:
    """Vote with SHARES in percent, as in compute=60,validator=20,model=10,developer=10. Voting again confirms."""
    if (shares is None) != remove or (remove and (lock is not None or evict is not None)):
        raise click.UsageError("give SHARES, or --remove alone")
    settings, send = sending(invocation, given)
    from peerz_node.wallet.governance import cast_vote, take_vote_back

    if shares is None:
        take_vote_back(settings, send)
    else:
        cast_vote(settings, send, shares, lock, evict)
