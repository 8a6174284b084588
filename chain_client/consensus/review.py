"""The periodic review of role weights: ballots in, next weights out, with every intermediate figure kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chain_client.consensus import BPS, PPM
from chain_client.consensus.arith import u128
from chain_client.consensus.median import cap_weights, quorum_met, weighted_median
from chain_client.consensus.split import largest_remainder


@dataclass(frozen=True, slots=True)
class RoleState:
    """A role as the review sees it; weight, floor and ceiling in parts per million."""

    id: int
    weight: int
    floor: int
    ceiling: int


@dataclass(frozen=True, slots=True)
class ReviewParams:
    """How votes are counted and how fast weights move (`max_step` in parts per million)."""

    cap_bps: int = 1_000
    quorum_bps: int = 2_000
    max_step: int = 50_000
    vote_life: int = 2


@dataclass(frozen=True, slots=True)
class Ballot:
    """One voter's wish, basis points per role adding up to 10,000, with the stake behind it."""

    stake: int
    weights: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Review:
    """A review with all it rests on: role figures in the order of the roles, voter figures in that of the ballots."""

    counted: int
    eligible: int
    quorum_met: bool
    capped: list[int]
    medians: list[int]
    target: list[int]
    next: list[int]


def check_ballot(weights: Sequence[tuple[int, int]], open_roles: Iterable[int]) -> None:
    """Raises ValueError if roles are not strictly increasing and open, or parts do not add up to 10,000."""
    roles = [role for role, _ in weights]
    if any(a >= b for a, b in itertools.pairwise(roles)):
        raise ValueError("roles must be strictly increasing")
    if unknown := set(roles) - set(open_roles):
        raise ValueError(f"roles {sorted(unknown)} are not open to votes")
    if (total := sum(part for _, part in weights)) != BPS:
        raise ValueError(f"the parts add up to {total}, not to {BPS}")


def ballot_counts(since: int, now: int, vote_life: int) -> bool:
    """Whether a ballot cast or confirmed before review number `since` still counts in review number `now`."""
    return 0 <= now - since < vote_life


def review(params: ReviewParams, roles: Sequence[RoleState], ballots: Sequence[Ballot], eligible: int) -> Review:
    """Holds a review. Raises ValueError if ids are not increasing or the weights in force do not add up to one."""
    if any(a.id >= b.id for a, b in itertools.pairwise(roles)):
        raise ValueError("role ids must be strictly increasing")
    current = [role.weight for role in roles]
    if sum(current) != PPM:
        raise ValueError("the weights in force do not add up to one")
    stakes = [ballot.stake for ballot in ballots]
    counted = u128(sum(stakes))
    capped = cap_weights(stakes, params.cap_bps)
    medians = [_median_of(role.id, ballots, capped) for role in roles]
    target = largest_remainder(PPM, medians) if any(medians) else list(current)
    quorum = quorum_met(counted, eligible, params.quorum_bps)
    following = _step(roles, target, params.max_step) if quorum else current
    return Review(counted, eligible, quorum, capped, medians, target, following)


def fit(target: Sequence[int], lower: Sequence[int], upper: Sequence[int]) -> list[int] | None:
    """Weights nearest to `target` that add up to one million with each inside its bounds; None if there are none.

    Targets are clamped; what is then missing is added in proportion to the room left above, what is too much taken in
    proportion to the room left below.
    """
    bounds = list(zip(target, lower, upper, strict=True))
    if any(low > high for _, low, high in bounds) or not sum(lower) <= PPM <= sum(upper):
        return None
    clamped = [min(max(wish, low), high) for wish, low, high in bounds]
    missing = PPM - sum(clamped)
    room = [high - value if missing > 0 else value - low for value, (_, low, high) in zip(clamped, bounds, strict=True)]
    moves = largest_remainder(abs(missing), room)
    sign = 1 if missing > 0 else -1
    return [value + sign * move for value, move in zip(clamped, moves, strict=True)]


def _step(roles: Sequence[RoleState], target: Sequence[int], max_step: int) -> list[int]:
    low = [max(0, role.weight - max_step) for role in roles]
    high = [min(role.weight + max_step, PPM) for role in roles]

    def reachable(bounds: Iterable[int]) -> list[int]:
        return [min(max(bound, least), most) for bound, least, most in zip(bounds, low, high, strict=True)]

    floors = reachable(role.floor for role in roles)
    ceilings = reachable(max(role.ceiling, role.floor) for role in roles)
    return fit(target, floors, ceilings) or fit(target, low, high) or [role.weight for role in roles]


def _median_of(role: int, ballots: Sequence[Ballot], capped: Sequence[int]) -> int:
    wishes = (ballot.weights.get(role, 0) for ballot in ballots)
    return weighted_median(zip(wishes, capped, strict=True)) or 0
