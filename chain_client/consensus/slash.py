"""How much a fault may cost in total, and the breaker that stops automatic slashing when it runs away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain_client.consensus.arith import U32_MAX, U64_MAX, of_bps, smooth, u128

MONTH: Final = 30
BREAKER_FACTOR: Final = 3
BREAKER_SPAN: Final = 32
_MILLI: Final = 1_000


@dataclass(frozen=True, slots=True)
class SlashCaps:
    """Shares of a bond that may be lost per incident, day and 30 days, basis points."""

    incident_bps: int = 500
    day_bps: int = 1_000
    month_bps: int = 3_000


@dataclass(frozen=True, slots=True)
class Slashed:
    """What was slashed in the day numbered `day` and in its month."""

    day: int = 0
    in_day: int = 0
    in_month: int = 0

    def on(self, today: int) -> Slashed:
        """The same record seen on `today`: windows that are over are empty."""
        today = max(today, self.day)
        in_day = self.in_day if today == self.day else 0
        in_month = self.in_month if today // MONTH == self.day // MONTH else 0
        return Slashed(today, in_day, in_month)

    def take(self, caps: SlashCaps, today: int, bond: int, wanted: int) -> tuple[int, Slashed]:
        """What may be slashed of `bond` for an incident that asks for `wanted`, and the record after it."""
        now = self.on(today)
        amount = min(
            wanted,
            bond,
            of_bps(bond, caps.incident_bps),
            max(0, of_bps(u128(bond + now.in_day), caps.day_bps) - now.in_day),
            max(0, of_bps(u128(bond + now.in_month), caps.month_bps) - now.in_month),
        )
        return amount, Slashed(now.day, u128(now.in_day + amount), u128(now.in_month + amount))


@dataclass(frozen=True, slots=True)
class Breaker:
    """Automatic slashes: usual incidents per epoch in thousandths, and those of the running epoch."""

    usual: int = 0
    seen: int = 0

    def is_open(self, floor: int) -> bool:
        """Whether one more slash would pass three times the usual rate, read as at least `floor` per epoch."""
        usual = min(max(self.usual, floor * _MILLI) * BREAKER_FACTOR, U64_MAX)
        return (self.seen + 1) * _MILLI > usual

    def record(self) -> Breaker:
        """Records an incident, slashed or held back."""
        return Breaker(self.usual, min(self.seen + 1, U32_MAX))

    def next_epoch(self, floor: int) -> Breaker:
        """Closes the epoch: the usual rate follows what was seen, of which at most three times itself counts."""
        usual = min(max(self.usual, floor * _MILLI) * BREAKER_FACTOR, U64_MAX)
        return Breaker(smooth(self.usual, min(self.seen * _MILLI, usual), BREAKER_SPAN), 0)
