"""Rewards: what there is to claim, and claiming it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from chain_client import calls
from chain_client.client import ChainClient
from chain_client.types import PendingReward
from peerz_node.settings import Settings
from peerz_node.wallet.amounts import format_amount, printable
from peerz_node.wallet.session import ask_chain
from peerz_node.wallet.signers import Holder, holder
from peerz_node.wallet.transact import SendOptions, Step, transact

Found = tuple[int, dict[int, str], tuple[PendingReward, ...]]
"""The epoch, the names of the roles, and the rewards."""


def show_rewards(settings: Settings, options: SendOptions) -> None:
    """Lists what the account's registrations earned and have not claimed."""
    who = holder(options.account)
    epoch, names, rewards = ask_chain(settings, lambda chain: _rewards(chain, who))
    due = sum(reward.amount for reward in rewards if reward.payable <= epoch)
    total = sum(reward.amount for reward in rewards)
    if options.as_json:
        rows = [
            {
                "epoch": reward.epoch,
                "index": reward.index,
                "role": names.get(reward.role, str(reward.role)),
                "amount": str(reward.amount),
                "payable": reward.payable,
            }
            for reward in rewards
        ]
        click.echo(json.dumps({"epoch": epoch, "due": str(due), "total": str(total), "rewards": rows}))
        return
    for reward in rewards:
        when = "" if reward.payable <= epoch else f"  from epoch {reward.payable} on"
        role = names.get(reward.role, str(reward.role))
        click.echo(f"epoch {reward.epoch:>6}  {role:12} number {reward.index:<5} {format_amount(reward.amount)}{when}")
    click.echo(f"{format_amount(due)} can be claimed now, {format_amount(total - due)} later")
    if due:
        click.echo("claim it: peerz-node rewards --claim", err=True)


def claim_rewards(settings: Settings, options: SendOptions) -> None:
    """Claims everything that is due."""

    async def plan(chain: ChainClient, who: Holder) -> Sequence[Step]:
        epoch, names, rewards = await _rewards(chain, who)
        return [
            Step(
                calls.claim(reward.epoch, reward.index),
                f"claim {format_amount(reward.amount)} of epoch {reward.epoch} as {names.get(reward.role, '?')}",
            )
            for reward in rewards
            if reward.payable <= epoch
        ]

    transact(settings, options, plan)


async def _rewards(chain: ChainClient, who: Holder) -> Found:
    now = await chain.query.at_one_block()
    epoch, _ = await now.epoch()
    names = {role.role: printable(role.name) for role in await now.role_views()}
    return epoch.index, names, await now.pending_rewards(who.account)
