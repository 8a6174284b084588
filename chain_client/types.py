"""The nouns of the pallet as Python has them: what is stored, passed to a call or answered. Names are the pallet's.

Amounts are in the smallest unit (10^12 make a PRZ), hashes and keys are bytes, roles and epochs plain numbers. Field
names are those of the metadata, which `decoding` relies on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NewType

AccountId = NewType("AccountId", bytes)
"""The 32 bytes of an account's public key."""

PRZ: Final = 10**12
"""One PRZ in its smallest unit."""


class RoleKind(Enum):
    """How the subjects of a role earn."""

    COMPUTE = "Compute"
    VALIDATOR = "Validator"
    MODEL = "Model"
    MEMBER = "Member"


@dataclass(frozen=True, slots=True)
class Role:
    """A role that shares in the rewards."""

    name: str  # Its name, for people
    kind: RoleKind  # How its subjects earn
    terms: RoleTerms  # What governance may change


@dataclass(frozen=True, slots=True)
class RoleTerms:
    """What governance may change about a role."""

    enabled: bool  # Whether votes for it count. A role that is off moves towards a weight of zero
    floor: int  # Least weight after a review, in parts per million
    ceiling: int  # Greatest weight after a review, in parts per million
    min_bond: int  # Bond below which a subject is bondless (compute), or may not take part (all others)
    target_use: int  # Use at which the role is neither scarce nor plenty, in parts per million; zero turns scarcity off


@dataclass(frozen=True, slots=True)
class Subject:
    """Who can be paid: a provider, a validator, a model or a member of another role."""

    account: AccountId  # Who is paid
    role: int  # In which role
    generation: int  # How many held the slot before
    registered: int  # The epoch of registration: work counts from the next one
    deposit: int  # What is held for the registration
    left: int | None  # The epoch in which it left: its work counts up to there
    jailed_until: int  # It is out of the validators' set, and its work counts for nothing, before this epoch
    clean_epochs: int  # Paid epochs since the last fault
    last_fault: int | None  # The epoch in which a fault was decided last: what was withheld then is forfeited


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be served."""

    owner: AccountId  # Who earns by its use
    index: int  # Its subject
    shape: ModelShape  # Its shape


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The numbers of a model that units are counted with."""

    blocks: int  # Transformer blocks
    params_per_block: int  # Parameters in one block
    d_model: int  # Width of the hidden state


@dataclass(frozen=True, slots=True)
class Bond:
    """What an account has bonded in one role."""

    active: int  # What counts for caps and stakes
    unbonding: tuple[Unbonding, ...]  # What is on its way out and can still be slashed


@dataclass(frozen=True, slots=True)
class Unbonding:
    """An amount on its way out of a bond."""

    amount: int  # How much
    unlock: int  # The epoch from which it can be withdrawn


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """Whose node key it is."""

    account: AccountId  # The account that bound it
    expiry: int  # Until when the binding holds, in seconds since 1970
    deposit: int  # What is held for the record
    # The epoch in which the account gave it up or replaced it: reports are taken until it is released
    retired: int | None
    burnt: bool  # Whether it has signed two receipts for one step. Such a key is never bound again


@dataclass(frozen=True, slots=True)
class Vote:
    """A vote on the weights of the roles."""

    shares: tuple[tuple[int, int], ...]  # Shares in basis points that sum to one whole
    amount: int  # What is locked for it
    review: int  # The number of the review before which it was cast or confirmed last
    unlock: int | None  # Set when the vote was taken back: the epoch from which the lock can be released


class Phase(Enum):
    """Where an epoch stands."""

    COMMIT = "Commit"
    REVEAL = "Reveal"
    FINALISE = "Finalise"
    OPEN = "Open"


@dataclass(frozen=True, slots=True)
class Epoch:
    """The clock of the pallet."""

    index: int  # Which epoch it is
    phase: Phase  # In which phase
    started: int  # The block in which the epoch began
    # The block in which the phase ends. In `Finalise` it says nothing: that phase ends with its last step
    phase_end: int


class StepKind(Enum):
    """A step of finalising, without its page."""

    SEAL = "Seal"
    SUBJECTS = "Subjects"
    VALIDATORS = "Validators"
    CLOSE = "Close"
    REVIEW = "Review"
    PURGE = "Purge"
    FREEZE = "Freeze"


@dataclass(frozen=True, slots=True)
class Step:
    """The next step of finalising; `page` where it goes by pages."""

    kind: StepKind
    page: int | None = None


@dataclass(frozen=True, slots=True)
class FrozenValidator:
    """A validator as one epoch sees it."""

    account: AccountId  # Its account
    index: int  # Its subject
    generation: int  # The generation of that subject
    stake: int  # Its active bond when the set was frozen


@dataclass(frozen=True, slots=True)
class SeedChain:
    """The end of a validator's hash chain as the network knows it."""

    tip: bytes  # The link whose pre-image comes next
    next: tuple[bytes, int] | None  # The start of another chain, and the epoch from which it replaces this one


@dataclass(frozen=True, slots=True)
class Attestation:
    """What a validator did about one epoch."""

    commitment: bytes  # The hash that it committed to
    revealed: Revealed | None  # What it revealed, if it did


@dataclass(frozen=True, slots=True)
class Plant:
    """A fault that governance planted to see who looks."""

    commitment: bytes  # Hash over the epoch, the subject and a salt
    index: int | None  # The subject, once it has been shown


@dataclass(frozen=True, slots=True)
class Revealed:
    """The part of a reveal that is kept."""

    evidence_root: bytes  # Merkle root over the evidence behind the row
    link: bytes  # The link of the seed chain


@dataclass(frozen=True, slots=True)
class Measurement:
    """How well a validator measured in the epoch that is being finalised."""

    revealed: bool  # Whether it revealed its row
    planted: int  # Planted faults among its subjects
    missed: int  # Those of them that it did not report
    distance: int  # Sum of its distances from the medians, in units
    medians: int  # Sum of the medians


@dataclass(frozen=True, slots=True)
class Books:
    """The books of the epoch that is being finalised."""

    measurements: tuple[Measurement, ...]  # By slot of the validator
    tallies: tuple[Tally, ...]  # By id of the role


@dataclass(frozen=True, slots=True)
class ReviewRecord:
    """A review that was held."""

    epoch: int  # In which epoch
    counted: int  # Stake whose votes counted, before the cap
    eligible: int  # Stake that was locked
    quorum_met: bool  # Whether enough was counted to change anything
    weights: tuple[int, ...]  # The weights from then on


@dataclass(frozen=True, slots=True)
class Tally:
    """What the subjects of a role did in the epoch that is being finalised."""

    points: int  # Units that are paid
    served: int  # Units that were served
    capacity: int  # Units that could have been served


@dataclass(frozen=True, slots=True)
class Earning:
    """What a subject earned in an epoch."""

    account: AccountId  # Who may claim
    role: int  # From which pool
    generation: int  # The generation of the subject
    points: int  # Its part of the pool's points
    payable: int  # The epoch from which it can be claimed
    withheld: bool  # Whether it is withheld, and so can be forfeited
    claimed: bool  # Whether it has been claimed


@dataclass(frozen=True, slots=True)
class Pool:
    """The rewards of one role for one epoch."""

    total: int  # What there is to claim
    claimed: int  # What has been claimed
    points: int  # What the total is divided by


@dataclass(frozen=True, slots=True)
class WorkRoot:
    """The root that a provider posts of its co-signed sessions."""

    generation: int  # The generation of the subject that posted it
    root: bytes  # Merkle root over the session roots
    sessions: int  # Leaves under it


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's signed word on one step, as it signs it."""

    seq: int  # Number of the step in its session
    position: int  # Position of the first new token
    n_tokens: int  # New tokens
    kind: int  # Kind of the step
    in_hash: bytes  # Hash of the bytes that came in
    out_hash: bytes  # Hash of the bytes that went out
    in_chain: bytes  # Chain over all inputs of the session


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt with its signature."""

    receipt: Receipt  # What is signed
    signature: bytes  # By the node key


@dataclass(frozen=True, slots=True)
class SessionLeaf:
    """A leaf under a work root: one co-signed session. Its bytes are those of its SCALE encoding, 56 of them."""

    session: bytes  # The session
    units: int  # Co-signed units
    receipts: bytes  # Root over its receipts


@dataclass(frozen=True, slots=True)
class LeafProof:
    """Where a leaf is under a work root."""

    leaf: SessionLeaf  # The leaf
    position: int  # Its position among all leaves
    siblings: tuple[bytes, ...]  # The siblings on the way to the root, lowest first


class Fault(Enum):
    """Why somebody is slashed."""

    EQUIVOCATION = "Equivocation"
    HIDDEN_ROW = "HiddenRow"
    REPRODUCED = "Reproduced"
    INVALID_ROOT = "InvalidRoot"


@dataclass(frozen=True, slots=True)
class PendingSlash:
    """A slash that waits, so that it can be cancelled."""

    account: AccountId  # Who is to be slashed
    role: int  # In which role's bond
    fault: Fault  # Why
    amount: int  # How much
    reporter: AccountId | None  # Who brought the proof, if somebody had to
    due: int  # The epoch from which it can be applied


class DisputeStatus(Enum):
    """How a dispute stands."""

    OPEN = "Open"
    HELD = "Held"


@dataclass(frozen=True, slots=True)
class Dispute:
    """A failure that one validator saw and that others are to reproduce."""

    opener: AccountId  # Who opened it
    deposit: int  # What is held from the opener
    index: int  # The accused subject
    generation: int  # Its generation
    accused: AccountId  # Its account
    evidence: bytes  # Hash of the committed bytes that show the failure
    kernel_class: bytes  # The accused's kernel class, as it signed it
    opened: int  # When it was opened. The panel is drawn from the seed of the next epoch
    reproduced: tuple[int, ...]  # Slots of the panel's members that reproduced the failure
    refuted: tuple[int, ...]  # Slots of those that did not
    status: DisputeStatus  # How it stands


@dataclass(frozen=True, slots=True)
class RoleView:
    """A role as clients see it. Weights are in parts per million."""

    role: int  # Its id
    name: str  # Its name
    kind: RoleKind  # How its subjects earn
    terms: RoleTerms  # What governance may change
    weight: int  # The weight that the last review gave
    multiplier: int  # What scarcity multiplies it by
    effective: int  # Its share of what is emitted now


@dataclass(frozen=True, slots=True)
class PendingReward:
    """A reward that has not been claimed."""

    epoch: int  # The epoch of the work
    index: int  # The subject that earned it
    role: int  # From the pool of which role
    amount: int  # How much
    payable: int  # The epoch from which it can be claimed


@dataclass(frozen=True, slots=True)
class Entry:
    """What a validator found of one subject: a line of its row."""

    member: int  # The subject
    units: int  # Accepted units
    capacity: int  # Measured capacity, in units per epoch
    faults: int  # Faults found


@dataclass(frozen=True, slots=True)
class Breaker:
    """How many slashes are usual, and how many there were in this epoch."""

    usual: int  # Smoothed incidents per epoch, in thousandths
    seen: int  # Incidents of the running epoch


@dataclass(frozen=True, slots=True)
class Slashed:
    """What was slashed of a bond in the current windows."""

    day: int  # Number of the day that `in_day` is about
    in_day: int  # Slashed in that day
    in_month: int  # Slashed in the month of that day


@dataclass(frozen=True, slots=True)
class Funds:
    """The balance of an account. `free` and `reserved` (holds among it) are apart; `frozen` is a part of `free`."""

    free: int
    reserved: int
    frozen: int
