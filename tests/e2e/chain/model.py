"""The rewards once more, as bookkeeping in plain integers: what every account must hold, worked out without the chain.

Written from `docs/rewards.md` and the documentation of the pallet, and sharing no code with either twin of the maths:
it imports nothing of the project. It is told what was done (who bonded what, which rows were revealed) and what fees
were taken; everything else it computes. Where the story does not go (more than nine voters or validators, planted
faults, caps of a day's slashes) it does not go either, and says so by an assertion.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import isqrt
from typing import Final, NamedTuple

PRZ: Final = 10**12
PPM: Final = 10**6
BPS: Final = 10**4
DEPOSIT_OF_EXISTENCE: Final = PRZ // 1000
HISTORY: Final = 84
POT, TREASURY = "pot", "treasury"
COMPUTE, VALIDATOR, MODEL, DEVELOPER, LIQUIDITY, SOCIAL = range(6)
ROLES: Final = range(6)

FLOORS: Final = (200_000, 100_000, 0, 0, 0, 0)
CEILINGS: Final = (800_000, 400_000, 300_000, 300_000, 200_000, 200_000)
LEAST_BONDS: Final = (100 * PRZ, 1_000 * PRZ, 0, 100 * PRZ, 100 * PRZ, 100 * PRZ)
COMPUTE_TARGET: Final = 500_000
SMOOTHING: Final = 8


class Entry(NamedTuple):
    """What a validator says about one subject."""

    units: int
    capacity: int
    faults: int = 0


Row = dict[int, Entry]
"""By index of the subject."""


@dataclass
class Subject:
    owner: str
    role: int
    registered: int
    jailed_until: int = 0
    clean_epochs: int = 0
    last_fault: int | None = None


@dataclass
class Vote:
    shares: dict[int, int]
    amount: int
    review: int
    taken_back: bool = False


@dataclass
class Pool:
    total: int
    points: int
    claimed: int = 0


@dataclass
class Earning:
    owner: str
    role: int
    points: int
    payable: int
    withheld: bool


@dataclass
class Slash:
    owner: str
    role: int
    amount: int
    reporter: str | None
    due: int


def divided(total: int, weights: list[int]) -> list[int]:
    """`total` in proportion to the weights: whole parts first, what is left by size of the fraction cut off."""
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    by_fraction = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_fraction[: total - sum(parts)]:
        parts[i] += 1
    return parts


def median(said: list[tuple[int, int]]) -> int:
    """The smallest value that, with all below it, has half of the weight behind it. Pairs are (value, weight)."""
    assert len(said) < 10, "from ten on there is a cap on each"
    whole = sum(weight for _, weight in said)
    return min(value for value, _ in said if 2 * sum(w for v, w in said if v <= value) >= whole)


@dataclass
class Model:
    """`parameters` are the pallet's, by name. `endowed` have `endowment` each at the beginning."""

    parameters: dict[str, int]
    endowed: list[str]
    endowment: int
    free: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    held: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    bonds: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    subjects: dict[int, Subject] = field(default_factory=dict)
    frozen: dict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    votes: dict[str, Vote] = field(default_factory=dict)
    weights: list[int] = field(default_factory=lambda: [600_000, 200_000, 100_000, 100_000, 0, 0])
    multipliers: list[int] = field(default_factory=lambda: [PPM] * 6)
    reviews: int = 0
    pools: dict[tuple[int, int], Pool] = field(default_factory=dict)
    earnings: dict[tuple[int, int], Earning] = field(default_factory=dict)
    claimed: set[tuple[int, int]] = field(default_factory=set)
    carried: list[int] = field(default_factory=lambda: [0] * 6)
    promised: int = 0
    slashes: list[Slash] = field(default_factory=list)
    issuance: int = 0

    def __post_init__(self) -> None:
        self.next_review = self.parameters["review_epochs"]
        for name in self.endowed:
            self.free[name] = self.endowment
        for name in (POT, TREASURY):
            self.free[name] = DEPOSIT_OF_EXISTENCE
        self.issuance = sum(self.free.values())

    # --- What accounts do -------------------------------------------------------------------------------------------

    def fee(self, who: str, amount: int) -> None:
        self.transfer(who, TREASURY, amount)

    def transfer(self, giver: str, taker: str, amount: int) -> None:
        self.free[giver] -= amount
        self.free[taker] += amount
        assert self.free[giver] >= 0

    def hold(self, who: str, amount: int) -> None:
        self.free[who] -= amount
        self.held[who] += amount
        assert self.free[who] >= 0

    def release(self, who: str, amount: int) -> None:
        self.hold(who, -amount)

    def bond(self, who: str, role: int, amount: int) -> None:
        self.hold(who, amount)
        self.bonds[who, role] += amount

    def unbond(self, who: str, role: int, amount: int) -> None:
        self.bonds[who, role] -= amount

    def bind_key(self, who: str) -> None:
        self.hold(who, self.parameters["key_deposit"])

    def register(self, who: str, role: int, index: int, epoch: int) -> None:
        self.hold(who, self.parameters["model_deposit" if role == MODEL else "subject_deposit"])
        self.subjects[index] = Subject(who, role, epoch)

    def vote(self, who: str, shares: dict[int, int], amount: int) -> None:
        before = self.votes.get(who)
        self.hold(who, amount - (before.amount if before else 0))
        self.votes[who] = Vote(shares, amount, self.reviews)

    def unlock_vote(self, who: str) -> None:
        self.release(who, self.votes.pop(who).amount)

    def convicted(self, index: int, reporter: str, epoch: int) -> None:
        """Two receipts or a false root were shown: the subject is out for a while, a part of its bond asked for."""
        subject = self.subjects[index]
        subject.jailed_until = epoch + self.parameters["jail_epochs"]
        subject.clean_epochs, subject.last_fault = 0, epoch
        self._accuse(subject.owner, COMPUTE, self.parameters["equivocation_slash"], reporter, epoch)

    def _accuse(self, owner: str, role: int, part: int, reporter: str | None, epoch: int) -> None:
        amount = self.bonds[owner, role] * part // BPS
        self.slashes.append(Slash(owner, role, amount, reporter, epoch + self.parameters["slash_delay"]))

    def slash(self, number: int, epoch: int) -> int:
        """A slash that is due is applied; what it took."""
        asked = self.slashes[number]
        assert asked.due <= epoch
        bond = self.bonds[asked.owner, asked.role]
        limits = [bond * self.parameters[cap] // BPS for cap in ("incident_cap", "day_cap", "month_cap")]
        taken = min(asked.amount, bond, *limits)  # the first of the account in its day and month
        share = taken * self.parameters["reporter_share"] // BPS if asked.reporter else 0
        self.bonds[asked.owner, asked.role] -= taken
        self.held[asked.owner] -= taken
        self.free[asked.reporter or TREASURY] += share
        self.free[TREASURY] += taken - share
        return taken

    def claim(self, who: str, work: int, index: int) -> int:
        """What a claim pays."""
        earning = self.earnings[work, index]
        assert earning.owner == who
        assert (work, index) not in self.claimed
        self.claimed.add((work, index))
        pool = self.pools[work, earning.role]
        amount = pool.total * earning.points // pool.points
        pool.claimed += amount
        self.promised -= amount
        self.transfer(POT, who, amount)
        return amount

    # --- What an epoch does -----------------------------------------------------------------------------------------

    def finalise(self, epoch: int, rows: dict[str, Row], hidden: tuple[str, ...] = ()) -> None:
        """All steps of `epoch`, in which `rows` about the epoch before were revealed and `hidden` committed only."""
        work = epoch - 1
        points, served, capacity = [0] * 6, [0] * 6, [0] * 6
        stakes = self.frozen[work]
        distance, medians = dict.fromkeys(rows, 0), dict.fromkeys(rows, 0)
        for index, subject in sorted(self.subjects.items()):
            if subject.role == VALIDATOR or not self._counts(subject, work):
                continue
            said = {who: row[index] for who, row in rows.items() if index in row}
            if not said or 2 * sum(stakes[who] for who in said) < sum(stakes.values()):
                continue
            seen = Entry(*(median([(entry[i], stakes[who]) for who, entry in said.items()]) for i in range(3)))
            for who in rows:
                distance[who] += abs(seen.units - (said[who].units if who in said else 0))
                medians[who] += seen.units
            paid = self._earn(work, index, subject, seen)
            points[subject.role] += paid
            served[subject.role] += seen.units
            capacity[subject.role] += seen.capacity
        for who, stake in stakes.items():
            points[VALIDATOR] += stake
            index, subject = next((i, s) for i, s in self.subjects.items() if (s.owner, s.role) == (who, VALIDATOR))
            if who in hidden:
                self._accuse(who, VALIDATOR, self.parameters["hidden_row_slash"], None, epoch)
            if who in rows and subject.jailed_until <= work:
                weight = stake * self._score(distance[who], medians[who]) // PPM
                if weight:
                    self.earnings[work, index] = Earning(who, VALIDATOR, weight, work + 1, withheld=False)
        if work >= 1:
            self._close(work, points, served, capacity)
        if epoch >= self.next_review:
            self._review(epoch)
        self.frozen[epoch + 1] = {
            subject.owner: self.bonds[subject.owner, VALIDATOR]
            for _, subject in sorted(self.subjects.items())
            if subject.role == VALIDATOR
            and self._counts(subject, epoch + 1)
            and self.bonds[subject.owner, VALIDATOR] >= LEAST_BONDS[VALIDATOR]
        }

    @staticmethod
    def _counts(subject: Subject, epoch: int) -> bool:
        return subject.registered < epoch and subject.jailed_until <= epoch

    def _score(self, distance: int, medians: int) -> int:
        """From one at no distance down to zero at the tolerance, in parts per million."""
        if distance == 0:
            return PPM
        allowed = medians * self.parameters["tolerance"]
        return PPM - min(PPM, distance * BPS * PPM // allowed) if allowed else 0

    def _earn(self, work: int, index: int, subject: Subject, seen: Entry) -> int:
        """The points of a subject other than a validator."""
        bond = self.bonds[subject.owner, subject.role]
        enough = bond >= LEAST_BONDS[subject.role]
        wait = 0
        if subject.role == COMPUTE:
            grown = self.parameters["bondless_start"] + self.parameters["bondless_step"] * subject.clean_epochs
            bondless = seen.capacity * min(grown, self.parameters["bondless_max"]) // BPS
            paid = min(seen.units, seen.capacity, bond // self.parameters["bond_per_unit"] + bondless)
            wait = 0 if enough else self.parameters["withheld_epochs"]
        else:
            paid = seen.units if enough else 0
        if seen.faults:
            subject.clean_epochs = 0
        elif paid:
            subject.clean_epochs += 1
        if paid:
            withheld = subject.role == COMPUTE and not enough
            self.earnings[work, index] = Earning(subject.owner, subject.role, paid, work + 1 + wait, withheld)
        return paid

    def _close(self, work: int, points: list[int], served: list[int], capacity: list[int]) -> None:
        granted = self.parameters["emission"] >> ((work - 1) // self.parameters["halving_epochs"])
        spent = min(granted, self.free[POT] - DEPOSIT_OF_EXISTENCE - self.promised)
        minted = min(granted - spent, self.parameters["max_supply"] - self.issuance)
        self.free[POT] += minted
        self.issuance += minted
        self.promised += spent + minted
        weighed = [weight * multiplier for weight, multiplier in zip(self.weights, self.multipliers, strict=True)]
        for role, part in enumerate(divided(spent + minted, divided(PPM, weighed))):
            total, self.carried[role] = self.carried[role] + part, 0
            if points[role]:
                self.pools[work, role] = Pool(total, points[role])
            else:
                self.carried[role] = total
        if capacity[COMPUTE]:
            use = served[COMPUTE] * PPM * PPM * PPM // (capacity[COMPUTE] * COMPUTE_TARGET)
            sample = max(PPM // 2, min(2 * PPM, isqrt(use)))
            before = self.multipliers[COMPUTE]
            step = -(-abs(sample - before) // SMOOTHING)
            self.multipliers[COMPUTE] += step if sample > before else -step
        for role in ROLES:
            pool = self.pools.pop((work - HISTORY, role), None)
            if pool is not None:
                self.promised -= pool.total - pool.claimed
                self.transfer(POT, TREASURY, pool.total - pool.claimed)

    def _review(self, epoch: int) -> None:
        number = self.reviews
        self.reviews += 1
        self.next_review = epoch + self.parameters["review_epochs"]
        life = self.parameters["vote_reviews"]
        counted = [vote for vote in self.votes.values() if number - vote.review < life and not vote.taken_back]
        locked = sum(vote.amount for vote in self.votes.values())
        if not counted or sum(vote.amount for vote in counted) * BPS < locked * self.parameters["vote_quorum"]:
            return
        wishes = [median([(vote.shares.get(role, 0), vote.amount) for vote in counted]) for role in ROLES]
        target = divided(PPM, wishes)
        step = self.parameters["weight_step"]
        bounds = [
            (max(weight - step, min(floor, weight + step), 0), min(weight + step, max(ceiling, weight - step)))
            for weight, floor, ceiling in zip(self.weights, FLOORS, CEILINGS, strict=True)
        ]
        near = [max(low, min(high, wish)) for wish, (low, high) in zip(target, bounds, strict=True)]
        missing = PPM - sum(near)
        room = [high - w if missing > 0 else w - low for w, (low, high) in zip(near, bounds, strict=True)]
        sign = 1 if missing > 0 else -1
        self.weights = [w + sign * part for w, part in zip(near, divided(abs(missing), room), strict=True)]
