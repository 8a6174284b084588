"""Exact division of an amount: by largest remainder among few parts, rounded down for claims."""

from __future__ import annotations

from collections.abc import Sequence

from chain_client.consensus.arith import mul_div


def largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    """Divides `total` in proportion to `weights`; the parts add up to `total` exactly.

    Each part is the floor of its quota; the units left go one each to the largest remainders, ties to the lower index.
    All parts are zero if all weights are.
    """
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    quotas = [divmod(total * weight, whole) for weight in weights]
    parts = [floor for floor, _ in quotas]
    order = sorted(range(len(weights)), key=lambda index: -quotas[index][1])
    for index in order[: total - sum(parts)]:
        parts[index] += 1
    return parts


def pro_rata(total: int, part: int, whole: int) -> int:
    """`floor(total * part / whole)`, with `part` read as at most `whole`; zero for an empty whole."""
    return mul_div(total, min(part, whole), whole) if whole else 0
