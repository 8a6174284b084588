"""Scarcity: `m = clamp(sqrt(u / u_target), 1/2, 2)`, smoothed, applied to role weights between reviews."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from math import isqrt
from typing import Final

from chain_client.consensus import PPM
from chain_client.consensus.arith import U128_MAX, smooth
from chain_client.consensus.split import largest_remainder

LEAST: Final = PPM // 2
GREATEST: Final = PPM * 2
SPAN: Final = 8
"""Epochs over which the multiplier is smoothed (factor `1 / SPAN`)."""


def multiplier(served: int, capacity: int, target_ppm: int) -> int | None:
    """The multiplier of one epoch in parts per million, rounded down; None without capacity."""
    if capacity == 0:
        return None
    ratio = served * PPM**3 // (capacity * max(target_ppm, 1))
    return min(max(isqrt(min(ratio, U128_MAX)), LEAST), GREATEST)


def next_multiplier(previous: int, served: int, capacity: int, target_ppm: int) -> int:
    """The smoothed multiplier after an epoch in which `served` of `capacity` was used; unchanged without capacity."""
    sample = multiplier(served, capacity, target_ppm)
    return previous if sample is None else smooth(previous, sample, SPAN)


def effective(weights: Sequence[int], multipliers: Sequence[int]) -> list[int]:
    """`w_i * m_i` normalised to one million by largest remainder; a missing multiplier counts as one."""
    products = [weight * factor for weight, factor in zip(weights, chain(multipliers, repeat(PPM)), strict=False)]
    return largest_remainder(PPM, products) if any(products) else list(weights)
