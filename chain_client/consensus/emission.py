"""What an epoch pays: a halving schedule, spent from a pot first, then minted up to the supply cap."""

from __future__ import annotations

from dataclasses import dataclass

from chain_client.consensus.arith import u128


@dataclass(frozen=True, slots=True)
class Schedule:
    """Emission per epoch before the first halving, epochs between halvings (zero: never), cap on total issuance."""

    initial: int
    halving: int
    cap: int


@dataclass(frozen=True, slots=True)
class Draw:
    """Where an epoch's pool comes from: spent from the pot, newly minted."""

    spend: int
    mint: int

    @property
    def pool(self) -> int:
        return self.spend + self.mint


def scheduled(schedule: Schedule, epoch: int) -> int:
    """`floor(initial / 2^(epoch / halving))`."""
    return schedule.initial >> (epoch // schedule.halving if schedule.halving else 0)


def draw(schedule: Schedule, epoch: int, issuance: int, pot: int) -> Draw:
    """The pool of `epoch`: the scheduled amount, from the pot as far as it reaches, the rest minted up to the cap."""
    wanted = scheduled(schedule, epoch)
    spend = min(wanted, pot)
    return Draw(spend, min(wanted - spend, max(0, schedule.cap - issuance)))


def granted(schedule: Schedule, epochs: int) -> int:
    """All that the schedule grants in epochs `0..epochs`, saturating."""
    if not schedule.halving:
        return u128(schedule.initial * epochs)
    halvings = -(-epochs // schedule.halving)
    lengths = (min(schedule.halving, epochs - k * schedule.halving) for k in range(min(halvings, 128)))
    return u128(sum((schedule.initial >> k) * length for k, length in enumerate(lengths)))
