"""The weights of the roles: in force, as they would be decided now, over time, and one's own vote. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chain_client import calls
from chain_client.account import account_of, address_of
from chain_client.client import ChainClient
from chain_client.consensus.review import Ballot, Review, ReviewParams, RoleState, ballot_counts, review
from chain_client.errors import BadArgument
from chain_client.types import AccountId, ReviewRecord, RoleView
from peerz_node.settings import Settings
from peerz_node.wallet.amounts import format_amount, parse_shares, plain_amount, printable
from peerz_node.wallet.errors import ChainTrouble, WalletError
from peerz_node.wallet.signers import Holder
from peerz_node.wallet.transact import SendOptions, Step, transact


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles as they are."""

    epoch: int
    next_review: int
    roles: tuple[RoleView, ...]

    def as_json(self) -> dict[str, Any]:
        rows = [
            {
                "role": role.role,
                "name": role.name,
                "kind": role.kind.value.lower(),
                "enabled": role.terms.enabled,
                "weight": role.weight,
                "scarcity": role.multiplier,
                "effective": role.effective,
                "floor": role.terms.floor,
                "ceiling": role.terms.ceiling,
                "min_bond": str(role.terms.min_bond),
            }
            for role in self.roles
        ]
        return {"epoch": self.epoch, "next_review": self.next_review, "roles": rows}


@dataclass(frozen=True, slots=True)
class Voter:
    """One vote: its lock, the part of it that is counted after the cap, and whether it counts at all."""

    account: AccountId
    locked: int
    counted: int
    counts: bool


@dataclass(frozen=True, slots=True)
class TallyView:
    """What a review held now would decide, and why."""

    epoch: int
    next_review: int
    roles: tuple[RoleView, ...]
    outcome: Review
    voters: tuple[Voter, ...]
    voter_cap: int
    quorum: int

    def as_json(self) -> dict[str, Any]:
        rows = [
            {"name": role.name, "weight": role.weight, "median": median, "target": target, "next": following}
            for role, median, target, following in self.rows()
        ]
        return {
            "epoch": self.epoch,
            "next_review": self.next_review,
            "counted": str(self.outcome.counted),
            "locked": str(self.outcome.eligible),
            "quorum_bps": self.quorum,
            "quorum_met": self.outcome.quorum_met,
            "voter_cap_bps": self.voter_cap,
            "roles": rows,
            "voters": [
                {
                    "address": address_of(voter.account),
                    "locked": str(voter.locked),
                    "counted": str(voter.counted),
                    "counts": voter.counts,
                }
                for voter in self.voters
            ],
        }

    def rows(self) -> list[tuple[RoleView, int, int, int]]:
        """Each role with its median (basis points), target and next weight (parts per million)."""
        found = self.outcome
        return list(zip(self.roles, found.medians, found.target, found.next, strict=True))


@dataclass(frozen=True, slots=True)
class History:
    """The reviews that were held, oldest first."""

    names: tuple[str, ...]
    reviews: tuple[tuple[int, ReviewRecord], ...]

    def as_json(self) -> dict[str, Any]:
        rows = [
            {
                "number": number,
                "epoch": record.epoch,
                "counted": str(record.counted),
                "locked": str(record.eligible),
                "quorum_met": record.quorum_met,
                "weights": dict(zip(self.names, record.weights, strict=False)),
            }
            for number, record in self.reviews
        ]
        return {"roles": list(self.names), "reviews": rows}


async def read_roles(chain: ChainClient) -> Roles:
    """The roles at the best block."""
    now = await chain.query.at_one_block()
    epoch, next_review = await now.epoch()
    return Roles(epoch.index, next_review, await now.role_views())


async def read_tally(chain: ChainClient) -> TallyView:
    """What the next review would decide if it were held at the best block, by the chain's own rules."""
    now = await chain.query.at_one_block()
    epoch, next_review = await now.epoch()
    views, parameters = await now.role_views(), await now.parameters()
    number, votes = await now.review_number(), await now.votes()
    counting = {
        account: vote
        for account, vote in votes.items()
        if vote.unlock is None and ballot_counts(vote.review, number, parameters.vote_reviews)
    }
    outcome = review(
        ReviewParams(parameters.voter_cap, parameters.vote_quorum, parameters.weight_step, parameters.vote_reviews),
        [_state(view) for view in views],
        [Ballot(vote.amount, dict(vote.shares)) for vote in counting.values()],
        await now.vote_locked(),
    )
    capped = dict(zip(counting, outcome.capped, strict=True))
    voters = [Voter(who, vote.amount, capped.get(who, 0), who in counting) for who, vote in votes.items()]
    voters.sort(key=lambda voter: (-voter.locked, voter.account))
    return TallyView(
        epoch.index, next_review, views, outcome, tuple(voters), parameters.voter_cap, parameters.vote_quorum
    )


def _state(view: RoleView) -> RoleState:
    """A role that is off is let down to nothing."""
    floor, ceiling = (view.terms.floor, view.terms.ceiling) if view.terms.enabled else (0, 0)
    return RoleState(view.role, view.weight, floor, ceiling)


async def read_history(chain: ChainClient) -> History:
    """The reviews that the chain remembers."""
    now = await chain.query.at_one_block()
    names = tuple(printable(role.name) for role in await now.role_views())
    return History(names, tuple((await now.reviews()).items()))


def cast_vote(settings: Settings, options: SendOptions, text: str, lock: int | None, evict: str | None) -> None:
    """Votes `compute=60,...`, with what is locked already (or the least lock) unless `lock` says more.

    `evict` is the address of a smaller vote, which makes room where there are as many as there can be.
    """
    try:
        evicted = None if evict is None else account_of(evict)
    except BadArgument as error:
        raise ChainTrouble(error) from None

    async def plan(chain: ChainClient, who: Holder) -> Sequence[Step]:
        now = await chain.query.at_one_block()
        roles = {role.name: role.role for role in await now.role_views()}
        try:
            shares = parse_shares(text, roles)
        except ValueError as error:
            raise WalletError(str(error)) from None
        former, parameters = await now.vote(who.account), await now.parameters()
        locked = former.amount if former is not None else 0
        amount = lock if lock is not None else locked or parameters.min_vote
        if amount < max(locked, parameters.min_vote):
            least = max(locked, parameters.min_vote)
            raise WalletError(f"the lock of this vote is at least {format_amount(least)}: --lock {plain_amount(least)}")
        names = {role: name for name, role in roles.items()}
        wish = ", ".join(f"{printable(names[role])} {share / 100:g} %" for role, share in sorted(shares.items()))
        effect = (
            f"vote {wish} with {format_amount(amount)} locked ({format_amount(amount - locked)} more than now), "
            f"counted from the review in epoch {await now.next_review()} on"
        )
        return [Step(calls.vote(shares, amount, evicted), effect, amount - locked)]

    transact(settings, options, plan)


def take_vote_back(settings: Settings, options: SendOptions) -> None:
    """Takes the vote back, or releases the lock of one that was taken back."""

    async def plan(chain: ChainClient, who: Holder) -> Sequence[Step]:
        now = await chain.query.at_one_block()
        vote = await now.vote(who.account)
        if vote is None:
            raise WalletError(f"{who} has no vote; cast one: peerz-node gov vote")
        epoch, _ = await now.epoch()
        if vote.unlock is None:
            unlock = epoch.index + (await now.parameters()).vote_unlock_epochs
            effect = f"take the vote back; {format_amount(vote.amount)} are free from epoch {unlock} on"
            return [Step(calls.remove_vote(), effect)]
        if epoch.index < vote.unlock:
            raise WalletError(f"the lock of the vote is released in epoch {vote.unlock}, now it is {epoch.index}; wait")
        return [Step(calls.unlock_vote(), f"release {format_amount(vote.amount)} from the vote")]

    transact(settings, options, plan)
