"""Stake-weighted lower medians, the cap on one voter's weight, and quorums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chain_client.consensus import BPS
from chain_client.consensus.arith import u128


def cap_weights(weights: Sequence[int], cap_bps: int) -> list[int]:
    """Weights limited to `cap_bps` of their sum before the cap, in the order given.

    Unchanged where fewer than `ceil(10_000 / cap_bps)` of them are positive, or for a cap of zero.
    """
    voters = sum(weight > 0 for weight in weights)
    if cap_bps == 0 or voters < -(-BPS // cap_bps):
        return list(weights)
    cap = max(1, u128(sum(weights) * cap_bps // BPS))
    return [min(weight, cap) for weight in weights]


def weighted_median(votes: Iterable[tuple[int, int]]) -> int | None:
    """The smallest value `v` of `(value, weight)` pairs with `2 * weight(values <= v) >= weight(all)`, if any."""
    counted = sorted((value, weight) for value, weight in votes if weight > 0)
    whole = sum(weight for _, weight in counted)
    reached = 0
    for value, weight in counted:
        reached += weight
        if 2 * reached >= whole:
            return value
    return None


def capped_median(votes: Sequence[tuple[int, int]], cap_bps: int) -> int | None:
    """`weighted_median` over weights limited by `cap_weights`."""
    capped = cap_weights([weight for _, weight in votes], cap_bps)
    return weighted_median((value, weight) for (value, _), weight in zip(votes, capped, strict=True))


def quorum_met(counted: int, eligible: int, quorum_bps: int) -> bool:
    """Whether `counted` is at least `quorum_bps` of `eligible`. Nothing counted is never a quorum."""
    return counted > 0 and counted * BPS >= eligible * quorum_bps
