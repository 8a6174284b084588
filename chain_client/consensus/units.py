"""Units: the integer cost of work, and how much of what was attested is paid.

`cost = blocks * (a * params_per_block * new_tokens + b * d_model * attended)`, where `attended` adds up the positions
that each new token attends to: exact for any chunking of a prefill and any cut of a span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from chain_client.consensus import PPM
from chain_client.consensus.arith import U64_MAX, mul_div, of_bps, of_ppm, u128
from chain_client.consensus.scarcity import GREATEST
from chain_client.consensus.split import pro_rata

COST_PER_UNIT: Final = 1_000_000
"""Cost (about one multiply-add each) that makes one unit."""


class Kind(Enum):
    PREFILL = "prefill"
    DECODE = "decode"
    BACKWARD = "backward"


PRICES: Final[dict[Kind, tuple[int, int]]] = {Kind.PREFILL: (1, 2), Kind.DECODE: (4, 8), Kind.BACKWARD: (3, 6)}
"""Per kind: `a` per parameter and new token, `b` per unit of width, new token and position attended to."""


@dataclass(frozen=True, slots=True)
class Work:
    """A pass over a span; `attended` as the function of that name gives it."""

    kind: Kind
    blocks: int
    params_per_block: int
    d_model: int
    new_tokens: int
    attended: int


@dataclass(frozen=True, slots=True)
class PayCaps:
    """What may be paid besides what was done: bond per paid unit, and shares in basis points."""

    bond_per_unit: int
    bondless_start_bps: int
    bondless_step_bps: int
    bondless_max_bps: int
    client_share_bps: int


def attended(position: int, new_tokens: int) -> int:
    """Positions attended to by `new_tokens` tokens after `position` earlier ones: `sum_{i=1..n} (position + i)`."""
    return u128(position * new_tokens + new_tokens * (new_tokens + 1) // 2)


def cost(work: Work, prices: dict[Kind, tuple[int, int]] = PRICES) -> int:
    """Cost of a pass, saturating at 128 bits."""
    a, b = prices[work.kind]
    return u128(work.blocks * (a * work.params_per_block * work.new_tokens + b * work.d_model * work.attended))


def units(cost: int) -> int:
    """Whole units of a cost, rounded down. Add costs first and divide once."""
    return min(cost // COST_PER_UNIT, U64_MAX)


def client_capped(by_client: Sequence[int], share_bps: int) -> int:
    """Units of one provider with each client key limited to a share of all of them."""
    cap = of_bps(u128(sum(by_client)), share_bps)
    return u128(sum(min(contributed, cap) for contributed in by_client))


def bond_cap(caps: PayCaps, bond: int, measured_capacity: int, clean_epochs: int) -> int:
    """Units that may be paid at most: those that the bond covers, and the bondless part of the measured capacity."""
    covered = bond // caps.bond_per_unit if caps.bond_per_unit else 0
    bps = min(caps.bondless_start_bps + caps.bondless_step_bps * clean_epochs, caps.bondless_max_bps)
    return u128(covered + of_bps(measured_capacity, bps))


def rewarded(attested: int, cap: int, measured_capacity: int, pass_rate_ppm: int) -> int:
    """`floor(min(attested, cap, capacity) * pass_rate / 1_000_000)`, the pass rate read as at most one."""
    return of_ppm(min(attested, cap, measured_capacity), min(pass_rate_ppm, PPM))


def standing(capacity: int, online_ppm: int, scarcity_ppm: int, rate_ppm: int) -> int:
    """Units for standing ready: capacity x time (at most one) x scarcity of the hosted blocks (at most two) x rate."""
    return mul_div(capacity, min(online_ppm, PPM) * min(scarcity_ppm, GREATEST) * rate_ppm, PPM**3)


def pay(pool: int, own: int, whole: int) -> int:
    """A member's part of its role's pool: `pro_rata` by units, so that splitting an identity gains nothing."""
    return pro_rata(pool, own, whole)
