"""Every call that the client makes, as a value: one function per call of the pallet, and transfers.

A call is only a description; `ChainClient.submit` signs and sends it, `ChainClient.fee` says what it costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chain_client.binding import Binding
from chain_client.decoding import Bounded
from chain_client.parameters import Parameters
from chain_client.types import AccountId, Entry, LeafProof, ModelShape, RoleKind, RoleTerms, SignedReceipt


@dataclass(frozen=True, slots=True)
class Call:
    """A call with its arguments as Python values, by the names of the metadata."""

    pallet: str
    function: str
    args: Mapping[str, Any]


def _peerz(function: str, **args: Any) -> Call:
    return Call("Peerz", function, args)


def transfer(to: AccountId, amount: int) -> Call:
    """Sends free funds, and never so much that the sender's account would end."""
    return Call("Balances", "transfer_keep_alive", {"dest": to, "value": amount})


def as_root(call: Call) -> Call:
    """`call` with the rights of governance; only the sudo key of a development chain can."""
    return Call("Sudo", "sudo", {"call": call})


def set_parameters(parameters: Parameters) -> Call:
    """Replaces the parameters. Governance only."""
    return _peerz("set_parameters", parameters=parameters)


def pause() -> Call:
    """Stops the clock and all calls but those of governance. Governance only."""
    return _peerz("pause")


def resume() -> Call:
    """Goes on after a pause. Governance only."""
    return _peerz("resume")


def add_role(name: str, kind: RoleKind, terms: RoleTerms) -> Call:
    """Adds a member role with a weight of zero. Governance only."""
    return _peerz("add_role", name=name.encode(), kind=kind, terms=terms)


def change_role(role: int, terms: RoleTerms) -> Call:
    """Changes the terms of a role. Governance only."""
    return _peerz("change_role", role=role, terms=terms)


def spend_treasury(to: AccountId, amount: int) -> Call:
    """Pays from the treasury. Governance only."""
    return _peerz("spend_treasury", to=to, amount=amount)


def bond(role: int, amount: int) -> Call:
    """Adds to the caller's bond in a role."""
    return _peerz("bond", role=role, amount=amount)


def unbond(role: int, amount: int) -> Call:
    """Starts to take from the caller's bond."""
    return _peerz("unbond", role=role, amount=amount)


def withdraw_unbonded(role: int) -> Call:
    """Withdraws what has unbonded."""
    return _peerz("withdraw_unbonded", role=role)


def register_provider() -> Call:
    """Registers the caller as a compute provider; it needs a bound node key."""
    return _peerz("register_provider")


def register_validator(seed_chain: bytes) -> Call:
    """Registers the caller as a validator with the end of its seed chain; it needs the role's bond."""
    return _peerz("register_validator", seed_chain=seed_chain)


def set_seed_chain(seed_chain: bytes) -> Call:
    """Names the end of another seed chain, from the next epoch on."""
    return _peerz("set_seed_chain", seed_chain=seed_chain)


def register_model(root: bytes, shape: ModelShape) -> Call:
    """Registers a model by the root of its manifest."""
    return _peerz("register_model", root=root, shape=shape)


def join_role(role: int) -> Call:
    """Registers the caller in a member role; it needs the role's bond."""
    return _peerz("join_role", role=role)


def leave(index: int) -> Call:
    """Ends the work of one of the caller's subjects with this epoch."""
    return _peerz("leave", index=index)


def release(index: int) -> Call:
    """Forgets a subject that left long enough ago, and returns its deposit."""
    return _peerz("release", index=index)


def bind_node_key(binding: Binding) -> Call:
    """Binds a node key to the caller, or renews its binding."""
    return _peerz(
        "bind_node_key",
        node_key=binding.node_key,
        expiry=binding.expiry,
        account_signature=binding.account_signature,
        node_signature=binding.node_signature,
    )


def retire_node_key() -> Call:
    """Gives the caller's node key up."""
    return _peerz("retire_node_key")


def release_node_key(node_key: bytes) -> Call:
    """Forgets a key that was retired long enough ago, and returns its deposit."""
    return _peerz("release_node_key", node_key=node_key)


def vote(shares: Mapping[int, int], amount: int, evict: AccountId | None = None) -> Call:
    """Locks `amount` and votes: basis points by role, 10,000 in all. `evict`: whose vote makes room in a full house."""
    return _peerz("vote", shares=Bounded(tuple(sorted(shares.items()))), amount=amount, evict=evict)


def remove_vote() -> Call:
    """Takes the caller's vote back. Its lock stays for some epochs."""
    return _peerz("remove_vote")


def unlock_vote() -> Call:
    """Releases the lock of a vote that was taken back."""
    return _peerz("unlock_vote")


def submit_work_root(root: bytes, sessions: int) -> Call:
    """Posts the root of the caller's co-signed sessions, in the commit phase."""
    return _peerz("submit_work_root", root=root, sessions=sessions)


def commit(commitment: bytes) -> Call:
    """Commits to the caller's row about the epoch before."""
    return _peerz("commit", commitment=commitment)


def reveal(row: tuple[Entry, ...], evidence_root: bytes, salt: bytes, link: bytes) -> Call:
    """Reveals that row, with the next link of the caller's seed chain."""
    return _peerz("reveal", row=Bounded(row), evidence_root=evidence_root, salt=salt, link=link)


def finalise() -> Call:
    """Runs the next step of finalising. It costs nothing when there was a step to run."""
    return _peerz("finalise")


def claim(epoch: int, index: int) -> Call:
    """Pays the caller what one of its subjects earned in an epoch."""
    return _peerz("claim", epoch=epoch, index=index)


def plant_fault(commitment: bytes) -> Call:
    """Plants a fault in this epoch, named by a hash. Governance only."""
    return _peerz("plant_fault", commitment=commitment)


def show_plant(index: int, salt: bytes) -> Call:
    """Names a fault that was planted in the epoch before."""
    return _peerz("show_plant", index=index, salt=salt)


def report_equivocation(node_key: bytes, session: bytes, first: SignedReceipt, second: SignedReceipt) -> Call:
    """Shows two different receipts that a node key signed for one step of a session."""
    return _peerz("report_equivocation", node_key=node_key, session=session, first=first, second=second)


def open_dispute(index: int, evidence: bytes, kernel_class: bytes) -> Call:
    """Accuses a provider of a failure that a panel is to reproduce."""
    return _peerz("open_dispute", index=index, evidence=evidence, kernel_class=kernel_class)


def judge_dispute(index: int, reproduced: bool) -> Call:
    """Says, as a member of the panel, whether the failure was reproduced."""
    return _peerz("judge_dispute", index=index, reproduced=reproduced)


def close_dispute(index: int) -> Call:
    """Ends a dispute that was not decided in time."""
    return _peerz("close_dispute", index=index)


def apply_slash(slash: int) -> Call:
    """Applies a slash that is due."""
    return _peerz("apply_slash", id=slash)


def cancel_slash(slash: int) -> Call:
    """Cancels a slash that waits. Governance only."""
    return _peerz("cancel_slash", id=slash)


def resolve_held(index: int, slash: bool) -> Call:
    """Decides a dispute that is held because a whole kernel class failed. Governance only."""
    return _peerz("resolve_held", index=index, slash=slash)


def refute_work_root(epoch: int, index: int, first: LeafProof, second: LeafProof) -> Call:
    """Shows one session at two places under the work root of a provider."""
    return _peerz("refute_work_root", epoch=epoch, index=index, first=first, second=second)
