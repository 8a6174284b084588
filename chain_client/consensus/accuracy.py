"""How well a validator measured: distance from the medians, on both sides alike, and planted faults that it missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain_client.consensus import BPS, PPM
from chain_client.consensus.arith import U32_MAX, of_ppm, u32


@dataclass(frozen=True, slots=True)
class Measured:
    """One assigned member: units reported (None: left out, which counts like zero) and the median."""

    reported: int | None
    median: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A validator's score for an epoch with its factors, all in parts per million."""

    deviation: int
    distance: int
    planted: int
    score: int


def accuracy(measured: Sequence[Measured], tolerance_bps: int, planted: int, missed: int) -> Accuracy:
    """Scores `sum |x - median| / sum median`: one at zero, none at the tolerance; times the planted faults found."""
    off = sum(abs((entry.reported or 0) - entry.median) for entry in measured)
    whole = sum(entry.median for entry in measured)
    deviation = _share(off, whole)
    distance = PPM - min(_share(off * BPS, whole * tolerance_bps), PPM)
    caught = max(planted - missed, 0) * PPM // planted if planted else PPM
    return Accuracy(deviation, distance, caught, of_ppm(distance, caught))


def pay_weight(stake: int, score: int) -> int:
    """`floor(stake * score / 1_000_000)`: what a validator's claim weighs."""
    return of_ppm(stake, min(score, PPM))


def _share(part: int, whole: int) -> int:
    if part == 0:
        return 0
    return u32(part * PPM // whole) if whole else U32_MAX
