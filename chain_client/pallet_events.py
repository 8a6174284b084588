"""One dataclass per event of the pallet, with the pallet's names and words. A test compares them with the metadata."""

from __future__ import annotations

from dataclasses import dataclass

from chain_client.parameters import Parameters
from chain_client.types import AccountId, Fault, ModelShape, Phase, ReviewRecord, RoleKind, RoleTerms, Step


@dataclass(frozen=True, slots=True)
class PeerzEvent:
    """Root of the pallet's events."""


@dataclass(frozen=True, slots=True)
class ParametersSet(PeerzEvent):
    """Governance changed the parameters."""

    parameters: Parameters  # The new ones


@dataclass(frozen=True, slots=True)
class Paused(PeerzEvent):
    """The pallet stands still."""


@dataclass(frozen=True, slots=True)
class Resumed(PeerzEvent):
    """The pallet goes on."""


@dataclass(frozen=True, slots=True)
class TreasurySpent(PeerzEvent):
    """Governance spent from the treasury."""

    to: AccountId  # Who got it
    amount: int  # How much


@dataclass(frozen=True, slots=True)
class RoleAdded(PeerzEvent):
    """There is a new role, with a weight of zero."""

    role: int  # The role
    kind: RoleKind  # How its subjects earn


@dataclass(frozen=True, slots=True)
class RoleChanged(PeerzEvent):
    """Governance changed a role."""

    role: int  # The role
    terms: RoleTerms  # Its new terms


@dataclass(frozen=True, slots=True)
class Bonded(PeerzEvent):
    """Funds were added to a bond."""

    account: AccountId  # Whose bond
    role: int  # In which role
    amount: int  # How much was added


@dataclass(frozen=True, slots=True)
class Unbonded(PeerzEvent):
    """Funds are on their way out of a bond."""

    account: AccountId  # Whose bond
    role: int  # In which role
    amount: int  # How much
    unlock: int  # The epoch from which they can be withdrawn


@dataclass(frozen=True, slots=True)
class Withdrawn(PeerzEvent):
    """Funds left a bond."""

    account: AccountId  # Whose bond
    role: int  # In which role
    amount: int  # How much


@dataclass(frozen=True, slots=True)
class SubjectRegistered(PeerzEvent):
    """A provider, a validator, a model or a member was registered."""

    index: int  # Its slot
    generation: int  # The generation of the slot
    account: AccountId  # Who is paid
    role: int  # In which role


@dataclass(frozen=True, slots=True)
class SubjectLeft(PeerzEvent):
    """A subject left: it earns no more after this epoch."""

    index: int  # Its slot
    epoch: int  # The last epoch of which its work counts


@dataclass(frozen=True, slots=True)
class SubjectReleased(PeerzEvent):
    """A subject is forgotten, its deposit returned and its slot free."""

    index: int  # Its slot


@dataclass(frozen=True, slots=True)
class ModelRegistered(PeerzEvent):
    """A model was registered."""

    root: bytes  # The root of its manifest
    index: int  # Its subject
    shape: ModelShape  # Its shape


@dataclass(frozen=True, slots=True)
class SeedChainSet(PeerzEvent):
    """A validator named the start of another seed chain."""

    index: int  # The validator's slot
    tip: bytes  # Its start
    from_: int  # The epoch from which it counts


@dataclass(frozen=True, slots=True)
class NodeKeyBound(PeerzEvent):
    """A node key was bound to an account, or its binding renewed."""

    account: AccountId  # The account
    node_key: bytes  # The key
    expiry: int  # Until when the binding holds, in seconds since 1970


@dataclass(frozen=True, slots=True)
class NodeKeyRetired(PeerzEvent):
    """A node key was given up or replaced."""

    account: AccountId  # The account
    node_key: bytes  # The key


@dataclass(frozen=True, slots=True)
class NodeKeyReleased(PeerzEvent):
    """A retired node key is forgotten, and its deposit returned."""

    node_key: bytes  # The key


@dataclass(frozen=True, slots=True)
class Voted(PeerzEvent):
    """A vote was cast or confirmed."""

    account: AccountId  # Whose vote
    shares: tuple[tuple[int, int], ...]  # Shares in basis points
    amount: int  # What is locked for it
    review: int  # The first review that counts it


@dataclass(frozen=True, slots=True)
class VoteRemoved(PeerzEvent):
    """A vote was taken back."""

    account: AccountId  # Whose vote
    unlock: int  # The epoch from which its lock can be released


@dataclass(frozen=True, slots=True)
class VoteUnlocked(PeerzEvent):
    """The lock of a vote that was taken back was released."""

    account: AccountId  # Whose vote
    amount: int  # What is free again


@dataclass(frozen=True, slots=True)
class VoteEvicted(PeerzEvent):
    """A vote made room for a greater one, and its lock was released."""

    account: AccountId  # Whose vote
    amount: int  # What is free again


@dataclass(frozen=True, slots=True)
class WeightsReviewed(PeerzEvent):
    """A review was held."""

    number: int  # Its number
    record: ReviewRecord  # Its result


@dataclass(frozen=True, slots=True)
class EpochStarted(PeerzEvent):
    """An epoch began."""

    epoch: int  # Which


@dataclass(frozen=True, slots=True)
class PhaseStarted(PeerzEvent):
    """A phase began."""

    epoch: int  # In which epoch
    phase: Phase  # Which


@dataclass(frozen=True, slots=True)
class StepDone(PeerzEvent):
    """A step of finalising was done."""

    epoch: int  # The epoch that is finalised
    step: Step  # Which step


@dataclass(frozen=True, slots=True)
class EpochFinalised(PeerzEvent):
    """An epoch is final: its rewards can be claimed."""

    epoch: int  # Which


@dataclass(frozen=True, slots=True)
class SeedFixed(PeerzEvent):
    """The seed of an epoch is fixed: who attests whom is known."""

    epoch: int  # Which epoch
    seed: bytes  # The seed
    links: int  # Links that went into it


@dataclass(frozen=True, slots=True)
class ValidatorsFrozen(PeerzEvent):
    """The validators of an epoch are fixed."""

    epoch: int  # Which epoch
    validators: int  # How many there are


@dataclass(frozen=True, slots=True)
class WorkRootPosted(PeerzEvent):
    """A provider posted the root of its sessions."""

    epoch: int  # In which epoch
    index: int  # The provider
    root: bytes  # The root
    sessions: int  # Leaves under it


@dataclass(frozen=True, slots=True)
class FaultPlanted(PeerzEvent):
    """A fault was planted."""

    epoch: int  # In which epoch
    commitment: bytes  # What hides where


@dataclass(frozen=True, slots=True)
class PlantShown(PeerzEvent):
    """A planted fault was shown."""

    epoch: int  # In which epoch it was
    index: int  # Which subject it was


@dataclass(frozen=True, slots=True)
class RowCommitted(PeerzEvent):
    """A validator committed to its row."""

    epoch: int  # About which epoch
    validator: AccountId  # Who


@dataclass(frozen=True, slots=True)
class RowRevealed(PeerzEvent):
    """A validator revealed its row."""

    epoch: int  # About which epoch
    validator: AccountId  # Who
    entries: int  # Subjects in it
    evidence_root: bytes  # Merkle root over the evidence


@dataclass(frozen=True, slots=True)
class RowHidden(PeerzEvent):
    """A validator committed to a row and did not reveal it."""

    epoch: int  # About which epoch
    index: int  # The validator's subject


@dataclass(frozen=True, slots=True)
class ValidatorMeasured(PeerzEvent):
    """A validator's distance from the medians is known."""

    epoch: int  # In which epoch
    index: int  # The validator's subject
    deviation: int  # Its relative distance, in parts per million
    score: int  # The part of its pay that it keeps, in parts per million


@dataclass(frozen=True, slots=True)
class Earned(PeerzEvent):
    """A subject has earned a part of a pool."""

    epoch: int  # In which epoch
    index: int  # Which subject
    points: int  # Its part of the pool's points


@dataclass(frozen=True, slots=True)
class Emitted(PeerzEvent):
    """The rewards of an epoch are there."""

    epoch: int  # Which epoch
    amount: int  # How much for all roles


@dataclass(frozen=True, slots=True)
class PoolClosed(PeerzEvent):
    """A role's pool of an epoch is known. Without points it goes to the next one."""

    epoch: int  # Which epoch
    role: int  # Which role
    total: int  # What is in it, with what was carried over
    points: int  # What it is divided by


@dataclass(frozen=True, slots=True)
class ScarcityChanged(PeerzEvent):
    """A role is more scarce, or less."""

    epoch: int  # After which epoch
    role: int  # Which role
    multiplier: int  # What its weight is multiplied by from now on, in parts per million


@dataclass(frozen=True, slots=True)
class RewardsExpired(PeerzEvent):
    """Rewards that nobody claimed went to the treasury."""

    epoch: int  # Of which epoch
    amount: int  # How much


@dataclass(frozen=True, slots=True)
class Claimed(PeerzEvent):
    """A reward was paid."""

    epoch: int  # Of which epoch
    index: int  # Which subject earned it
    account: AccountId  # Who was paid
    role: int  # From the pool of which role
    amount: int  # How much


@dataclass(frozen=True, slots=True)
class EquivocationReported(PeerzEvent):
    """Two receipts of a node key for one step were shown. The key is burnt."""

    account: AccountId  # Whose key
    node_key: bytes  # The key
    session: bytes  # In which session
    seq: int  # At which step
    reporter: AccountId  # Who showed it


@dataclass(frozen=True, slots=True)
class Jailed(PeerzEvent):
    """A subject is out for some time."""

    index: int  # Which
    until: int  # The first epoch whose work counts again


@dataclass(frozen=True, slots=True)
class SlashQueued(PeerzEvent):
    """A slash waits."""

    id: int  # Its id
    account: AccountId  # Who is to be slashed
    role: int  # In which role's bond
    fault: Fault  # Why
    amount: int  # How much at most
    due: int  # The epoch from which it can be applied


@dataclass(frozen=True, slots=True)
class Slashed(PeerzEvent):
    """A slash was applied."""

    id: int  # Its id
    account: AccountId  # Who was slashed
    role: int  # In which role's bond
    fault: Fault  # Why
    amount: int  # How much, after all caps
    rewarded: int  # What of it went to the reporter. The rest went to the treasury


@dataclass(frozen=True, slots=True)
class SlashCancelled(PeerzEvent):
    """A slash was cancelled."""

    id: int  # Its id
    account: AccountId  # Who was to be slashed


@dataclass(frozen=True, slots=True)
class DisputeOpened(PeerzEvent):
    """A validator says that a provider's work is wrong."""

    index: int  # The accused subject
    opener: AccountId  # Who opened it
    evidence: bytes  # Hash of the committed bytes that show it
    kernel_class: bytes  # The accused's kernel class


@dataclass(frozen=True, slots=True)
class DisputeJudged(PeerzEvent):
    """A member of the panel has judged."""

    index: int  # The accused subject
    member: AccountId  # Who judged
    reproduced: bool  # Whether it saw the same failure


@dataclass(frozen=True, slots=True)
class DisputeHeld(PeerzEvent):
    """The failure is real, but many of the same kernel class fail: governance decides."""

    index: int  # The accused subject
    kernel_class: bytes  # The kernel class


@dataclass(frozen=True, slots=True)
class DisputeEnded(PeerzEvent):
    """A dispute is over."""

    index: int  # The accused subject
    forfeited: bool  # Whether the opener lost its deposit


@dataclass(frozen=True, slots=True)
class RootRefuted(PeerzEvent):
    """A work root counts a session twice. It is void."""

    epoch: int  # Of which epoch
    index: int  # Whose
    session: bytes  # The session
    reporter: AccountId  # Who showed it


BY_NAME: dict[str, type[PeerzEvent]] = {kind.__name__: kind for kind in PeerzEvent.__subclasses__()}
