"""Signed calls of a command: first what they will do and cost, then the key, then one after the other."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from chain_client.calls import Call
from chain_client.client import ChainClient
from chain_client.transactions import Included, Until
from peerz_node.settings import Settings
from peerz_node.wallet.amounts import format_amount
from peerz_node.wallet.errors import WalletError
from peerz_node.wallet.session import ask_chain
from peerz_node.wallet.signers import AccountOptions, Holder, holder


@dataclass(frozen=True, slots=True)
class Step:
    """A call and what it does, in a few words for people."""

    call: Call
    effect: str
    takes: int = 0
    """What it takes out of the account's free funds beside the fee: sent, bonded or locked."""


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How a command sends: not at all, how long it waits, and how it reports."""

    account: AccountOptions
    dry_run: bool
    final: bool
    timeout_s: float
    as_json: bool


Plan = Callable[[ChainClient, Holder], Awaitable[Sequence[Step]]]
"""What a command wants to do, from what is on the chain."""


def transact(settings: Settings, options: SendOptions, plan: Plan) -> None:
    """Shows the plan with its fees, and unless it is a dry run signs and sends it. Raises ChainTrouble, WalletError."""
    who = holder(options.account)
    report = ask_chain(settings, lambda chain: _transact(chain, who, options, plan))
    if options.as_json:
        click.echo(json.dumps(report))


async def _transact(chain: ChainClient, who: Holder, options: SendOptions, plan: Plan) -> dict[str, Any]:
    steps = await plan(chain, who)
    fees = [await chain.fee(step.call, who.account) for step in steps]
    await _check_funds(chain, who, sum(fees), sum(step.takes for step in steps))
    if not options.as_json:
        _show(who, steps, fees, to_stderr=not options.dry_run)
    entries = _as_json(steps, fees)
    report = {"account": who.name, "dry_run": options.dry_run, "calls": entries}
    if options.dry_run or not steps:
        return report
    signer = who.open()
    for entry, step in zip(entries, steps, strict=True):
        until = Until.FINAL if options.final else Until.IN_BLOCK
        done = await chain.submit(step.call, signer, until, options.timeout_s)
        entry.update(_done(done))
        if not options.as_json:
            click.echo(f"done in block {done.block_number}: {step.effect}; paid {format_amount(done.fee)}")
    return report


def _show(who: Holder, steps: Sequence[Step], fees: Sequence[int], *, to_stderr: bool) -> None:
    if not steps:
        click.echo("nothing is to be done")
        return
    click.echo(f"{who} {'signs' if to_stderr else 'would sign'}:", err=to_stderr)
    for step, fee in zip(steps, fees, strict=True):
        click.echo(f"  {step.effect}; fee {format_amount(fee)}", err=to_stderr)


def _as_json(steps: Sequence[Step], fees: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {"call": f"{step.call.pallet}.{step.call.function}", "effect": step.effect, "fee": str(fee)}
        for step, fee in zip(steps, fees, strict=True)
    ]


def _done(done: Included) -> dict[str, Any]:
    return {
        "fee": str(done.fee),
        "block": done.block_number,
        "block_hash": "0x" + done.block_hash.hex(),
        "extrinsic_hash": "0x" + done.extrinsic_hash.hex(),
    }


async def _check_funds(chain: ChainClient, who: Holder, fees: int, takes: int) -> None:
    """Refuses what the chain would: there, it would cost the fees all the same."""
    free = (await chain.query.funds(who.account)).free
    if free < fees + takes:
        needs = f"needs {format_amount(takes)} and " if takes else "needs "
        raise WalletError(
            f"{who} has {format_amount(free)} free and {needs}{format_amount(fees)} for fees; "
            f"{'name less, or ' if takes else ''}send it some PRZ first"
        )
