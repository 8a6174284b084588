"""Taking part: registering as provider, validator or model owner, bonding, leaving, and taking bonds out again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chain_client import calls
from chain_client.binding import bind, next_expiry
from chain_client.client import ChainClient
from chain_client.seed_chain import chain_end, chain_secret
from chain_client.types import ModelShape, RoleKind, RoleView
from peerz_node.identity_file import default_identity_dir, load_key
from peerz_node.settings import Settings
from peerz_node.wallet.amounts import format_amount, plain_amount, printable
from peerz_node.wallet.errors import WalletError
from peerz_node.wallet.signers import Holder
from peerz_node.wallet.transact import SendOptions, Step, transact

if TYPE_CHECKING:
    from compute.identity import NodeKey

_HASH_BYTES = 32


def register_provider(settings: Settings, options: SendOptions, bond: int) -> None:
    """Binds this machine's node key to the account and registers it; does what is not done yet."""
    node = _node_key(settings.identity)

    async def plan(chain: ChainClient, who: Holder) -> Sequence[Step]:
        role = await _role_of_kind(chain, RoleKind.COMPUTE)
        steps = await _bonding(who, role, bond)
        steps += await _binding(chain, who, node, options)
        if await chain.query.slot_of(who.account, role.role) is None:
            steps.append(Step(calls.register_provider(), "register as a compute provider"))
        return steps

    transact(settings, options, plan)


def register_validator(settings: Settings, options: SendOptions, bond: int) -> None:
    """Bonds, and registers the account as a validator with the end of its seed chain."""
    node = _node_key(settings.identity)

    async def plan(chain: ChainClient, who: Holder) -> Sequence[Step]:
        role = await _role_of_kind(chain, RoleKind.VALIDATOR)
        active, _ = await chain.query.bond(who.account, role.role)
        if active + bond < role.terms.min_bond:
            missing = plain_amount(role.terms.min_bond - active)
            raise WalletError(f"a validator's bond is at least {format_amount(role.terms.min_bond)}: --bond {missing}")
        steps = await _bonding(who, role, bond)
        if await chain.query.slot_of(who.account, role.role) is None:
            secret = chain_secret(
                node, await chain.query.genesis(), who.account, (await chain.query.current_epoch()).index
            )
            steps.append(Step(calls.register_validator(chain_end(secret)), f"register as a {printable(role.name)}"))
        return steps

    transact(settings, options, plan)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the chain is told of a model."""

    root: bytes
    shape: ModelShape


def register_model(settings: Settings, options: SendOptions, facts: ModelFacts) -> None:
    """Registers a model by the root of its manifest; its owner earns by its use."""

    async def plan(chain: ChainClient, who: Holder) -> Sequence[Step]:
        deposit = (await chain.query.parameters()).model_deposit
        effect = f"register model {facts.root.hex()[:16]} with a deposit of {format_amount(deposit)}"
        return [Step(calls.register_model(facts.root, facts.shape), effect, deposit)]

    transact(settings, options, plan)


def add_bond(settings: Settings, options: SendOptions, role: str, amount: int) -> None:
    """Adds to the account's bond in a role."""

    async def plan(chain: ChainClient, who: Holder) -> Sequence[Step]:
        return await _bonding(who, await _role_named(chain, role), amount)

    transact(settings, options, plan)


def unbond(settings: Settings, options: SendOptions, role: str, amount: int | None) -> None:
    """Starts to take from a bond: all of it without an amount."""

    async def plan(chain: ChainClient, who: Holder) -> Sequence[Step]:
        found = await _role_named(chain, role)
        active, _ = await chain.query.bond(who.account, found.role)
        wanted = active if amount is None else amount
        if not 0 < wanted <= active:
            raise WalletError(
                f"{who} has {format_amount(active)} bonded as {role}; name at most that, and more than zero"
            )
        epoch, _ = await chain.query.epoch()
        unlock = epoch.index + (await chain.query.parameters()).unbonding_epochs
        effect = f"take {format_amount(wanted)} out of the bond as {role}, free from epoch {unlock} on"
        return [Step(calls.unbond(found.role, wanted), effect)]

    transact(settings, options, plan)


def withdraw(settings: Settings, options: SendOptions) -> None:
    """Withdraws everything that has unbonded, in all roles."""

    async def plan(chain: ChainClient, who: Holder) -> Sequence[Step]:
        now = await chain.query.at_one_block()
        epoch, _ = await now.epoch()
        steps, later = [], []
        for role in await now.role_views():
            bond = await now.bond_record(who.account, role.role)
            due = sum(part.amount for part in bond.unbonding if part.unlock <= epoch.index)
            later += [part.unlock for part in bond.unbonding if part.unlock > epoch.index]
            if due:
                effect = f"withdraw {format_amount(due)} from the bond as {printable(role.name)}"
                steps.append(Step(calls.withdraw_unbonded(role.role), effect))
        if not steps:
            when = f"the next amount is free from epoch {min(later)} on" if later else "nothing is unbonding"
            raise WalletError(f"nothing can be withdrawn in epoch {epoch.index}: {when}")
        return steps

    transact(settings, options, plan)


def leave(settings: Settings, options: SendOptions, index: int) -> None:
    """Ends the work of one of the account's registrations with this epoch."""

    async def plan(chain: ChainClient, who: Holder) -> Sequence[Step]:
        return [Step(calls.leave(index), f"end the work of registration {index} with this epoch")]

    transact(settings, options, plan)


def parse_root(text: str) -> bytes:
    """The 32 bytes of a manifest's root. Raises ValueError."""
    root = bytes.fromhex(text.removeprefix("0x"))
    if len(root) != _HASH_BYTES:
        raise ValueError
    return root


def facts_of_model(name: str) -> ModelFacts:
    """The facts of a model on this machine. Needs the model library, unlike everything else here."""
    from compute.models.checkpoint import Checkpoint
    from compute.models.families import family_of
    from compute.models.manifest import block_pattern, load_or_build_manifest
    from compute.models.sources import resolve
    from peerz_node.console import progress_display

    directory = resolve(name).directory
    with progress_display() as progress:
        manifest = load_or_build_manifest(directory, progress)
    checkpoint, pattern = Checkpoint(directory), block_pattern(family_of(manifest.model_type))
    params = 0
    for tensor in checkpoint.names():
        match = pattern.match(tensor)
        if match is not None and int(match[1]) == 0:
            size = 1
            for length in checkpoint.tensor(tensor).shape:
                size *= length
            params += size
    return ModelFacts(manifest.root, ModelShape(manifest.n_blocks, params, manifest.width))


def _node_key(identity: Path | None) -> NodeKey:
    return load_key(identity or default_identity_dir() / "node.key")


async def _bonding(who: Holder, role: RoleView, amount: int) -> list[Step]:
    if not amount:
        return []
    effect = f"bond {format_amount(amount)} as {printable(role.name)}"
    return [Step(calls.bond(role.role, amount), effect, amount)]


async def _binding(chain: ChainClient, who: Holder, node: NodeKey, options: SendOptions) -> list[Step]:
    """The step that binds the node key or renews its binding, if that is due."""
    now_s = await chain.query.now_ms() // 1_000 or int(time.time())
    record = await chain.query.key_record(node.public_key)
    if record is not None and (record.account != who.account or record.burnt or record.retired is not None):
        raise WalletError(
            f"the node key {node.peer_id} is bound to another account or given up; choose another --identity"
        )
    parameters = await chain.query.parameters()
    life_s = min(parameters.max_binding_seconds // 2, 180 * 24 * 3_600)
    expiry = next_expiry(now_s, None if record is None else record.expiry, life_s)
    if expiry is None:
        return []
    # A dry run has no key: its signatures cost as much.
    signer = _Unsigned(who) if options.dry_run else who.open()
    binding = bind(signer, node, await chain.query.genesis(), expiry)
    until = time.strftime("%Y-%m-%d", time.gmtime(expiry))
    return [Step(calls.bind_node_key(binding), f"bind node key {node.peer_id} until {until}")]


class _Unsigned:
    """Stands for the account's key where nothing is sent."""

    def __init__(self, who: Holder) -> None:
        self.account = who.account

    def sign(self, payload: bytes) -> bytes:
        return bytes(64)


async def _role_of_kind(chain: ChainClient, kind: RoleKind) -> RoleView:
    return next(role for role in await chain.query.role_views() if role.kind is kind)


async def _role_named(chain: ChainClient, name: str) -> RoleView:
    roles = await chain.query.role_views()
    for role in roles:
        if role.name == name:
            return role
    raise WalletError(f"there is no role {name!r}; the roles are {', '.join(printable(role.name) for role in roles)}")
