"""Balances and transfers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from chain_client import calls
from chain_client.account import account_of, address_of
from chain_client.client import ChainClient
from chain_client.errors import BadArgument, KeystoreError
from chain_client.types import AccountId, Bond, Funds, RoleView, Vote
from peerz_node.settings import Settings
from peerz_node.wallet.amounts import format_amount, printable
from peerz_node.wallet.errors import ChainTrouble, WalletError
from peerz_node.wallet.session import ask_chain
from peerz_node.wallet.signers import AccountOptions, Holder, holder, keystore_of
from peerz_node.wallet.transact import SendOptions, Step, transact


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that an account has."""

    account: AccountId
    funds: Funds
    bonds: tuple[tuple[RoleView, Bond], ...]
    vote: Vote | None
    subjects: tuple[tuple[int, str], ...]


def show_balance(settings: Settings, options: AccountOptions, address: str | None, *, as_json: bool) -> None:
    """What an account has: free, held, bonded and on its way out, locked for a vote; and what it is registered as."""
    account = _account(address) if address else holder(options).account
    held = ask_chain(settings, lambda chain: _holdings(chain, account))
    if as_json:
        click.echo(json.dumps(_as_json(held)))
    else:
        click.echo("\n".join(_lines(held)))


async def _holdings(chain: ChainClient, account: AccountId) -> Holdings:
    now = await chain.query.at_one_block()
    roles = await now.role_views()
    bonds = [(role, await now.bond_record(account, role.role)) for role in roles]
    names = {role.role: printable(role.name) for role in roles}
    subjects = []
    for index in await now.subjects_of(account):
        subject = await now.subject(index)
        if subject is not None:
            subjects.append((index, names.get(subject.role, str(subject.role))))
    return Holdings(
        account,
        await now.funds(account),
        tuple((role, bond) for role, bond in bonds if bond.active or bond.unbonding),
        await now.vote(account),
        tuple(subjects),
    )


def _as_json(held: Holdings) -> dict[str, Any]:
    return {
        "address": address_of(held.account),
        "free": str(held.funds.free),
        "reserved": str(held.funds.reserved),
        "bonds": [
            {
                "role": role.name,
                "active": str(bond.active),
                "unbonding": [{"amount": str(part.amount), "unlock": part.unlock} for part in bond.unbonding],
            }
            for role, bond in held.bonds
        ],
        "vote_lock": None if held.vote is None else str(held.vote.amount),
        "subjects": [{"index": index, "role": role} for index, role in held.subjects],
    }


def _lines(held: Holdings) -> list[str]:
    lines = [
        address_of(held.account),
        f"  free      {format_amount(held.funds.free)}",
        f"  held      {format_amount(held.funds.reserved)}",
    ]
    for role, bond in held.bonds:
        lines.append(f"    bond as {printable(role.name)}: {format_amount(bond.active)}")
        lines += [f"      {format_amount(part.amount)} free from epoch {part.unlock}" for part in bond.unbonding]
    if held.vote is not None:
        lines.append(f"    vote: {format_amount(held.vote.amount)}")
    lines += [f"  registered as {role} (number {index})" for index, role in held.subjects]
    return lines


def send_transfer(settings: Settings, options: SendOptions, to: str, amount: int) -> None:
    """Sends PRZ to an address, or to an account of the keystore by its name."""
    target = _target(to, options)
    if not amount:
        raise WalletError("an amount of zero moves nothing; name more")

    async def plan(chain: ChainClient, who: Holder) -> Sequence[Step]:
        if target == who.account:
            raise WalletError("sender and receiver are the same account; name another one")
        call = calls.transfer(target, amount)
        fee = await chain.fee(call, who.account)
        free = (await chain.query.funds(who.account)).free
        left = format_amount(max(0, free - amount - fee))
        return [Step(call, f"send {format_amount(amount)} to {address_of(target)}, which leaves {left}", amount)]

    transact(settings, options, plan)


def _target(to: str, options: SendOptions) -> AccountId:
    store = keystore_of(options.account.keystore)
    try:
        if to in store.names():
            return store.find(to).account
    except KeystoreError as error:
        raise ChainTrouble(error) from None
    if options.account.dev and to.isalpha():
        return holder(AccountOptions(to, dev=True, keystore=None, passphrase_file=None)).account
    return _account(to)


def _account(address: str) -> AccountId:
    try:
        return account_of(address)
    except BadArgument as error:
        raise ChainTrouble(error) from None
