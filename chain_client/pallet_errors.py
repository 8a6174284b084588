"""One exception per error of the pallet, with the pallet's names and words, and the table from name to class.

The text that users see comes from the metadata of the chain they talk to; a test compares the two.
"""

from __future__ import annotations

from chain_client.errors import DispatchFailed, PalletError

PALLET = "Peerz"


def dispatch_failure(pallet: str, name: str, docs: str) -> DispatchFailed:
    """The exception of a failed call: of the class with the error's name, when it is the pallet's."""
    kind = BY_NAME.get(name, PalletError) if pallet == PALLET else DispatchFailed
    return kind(pallet, name, docs)


class Paused(PalletError):
    """The pallet is paused."""


class NotPaused(PalletError):
    """The pallet is not paused."""


class InvalidParameters(PalletError):
    """The parameters do not fit together."""


class UnknownRole(PalletError):
    """There is no such role."""


class TooManyRoles(PalletError):
    """There are as many roles as there can ever be."""


class BadRoleName(PalletError):
    """The name of a role must have 1 to 32 bytes."""


class BadRoleTerms(PalletError):
    """A role's floor and ceiling must be ordered shares, and all floors fit into one whole."""


class BuiltInKind(PalletError):
    """Only member roles can be added: the others are built in."""


class RoleDisabled(PalletError):
    """The role is turned off."""


class WrongRoleKind(PalletError):
    """The call is not for roles of this kind."""


class ZeroAmount(PalletError):
    """An amount must not be zero."""


class BondTooSmall(PalletError):
    """The bond is smaller than the amount."""


class BelowMinimumBond(PalletError):
    """The role asks for a greater bond."""


class TooManyUnbonding(PalletError):
    """Too many amounts are unbonding at once."""


class NothingToWithdraw(PalletError):
    """Nothing can be withdrawn yet."""


class Accused(PalletError):
    """A dispute or a slash is pending against the account."""


class UnknownSubject(PalletError):
    """There is no such subject."""


class NotOwner(PalletError):
    """The subject belongs to another account."""


class TooManySubjects(PalletError):
    """There are as many subjects as there can be."""


class AlreadyRegistered(PalletError):
    """The account is registered in this role already."""


class AlreadyLeft(PalletError):
    """The subject has left."""


class StillActive(PalletError):
    """The subject has not left."""


class TooEarly(PalletError):
    """The time after leaving is not over."""


class TooManyValidators(PalletError):
    """There are as many validators as there can be."""


class ModelExists(PalletError):
    """The model is registered already."""


class TooManyModels(PalletError):
    """The owner has as many models as one may have."""


class BadModelShape(PalletError):
    """A model has at least one block, one parameter and a width."""


class BadModelRoot(PalletError):
    """The root of a manifest must not be zero."""


class WrongPhase(PalletError):
    """Not in this phase of the epoch."""


class NoNodeKey(PalletError):
    """The account has no node key, or its binding has expired."""


class BindingExpired(PalletError):
    """The binding has expired."""


class BindingTooLong(PalletError):
    """The binding would hold for too long."""


class NotARenewal(PalletError):
    """A renewal must hold for longer than what it renews."""


class BadAccountSignature(PalletError):
    """The account did not sign this binding."""


class BadNodeSignature(PalletError):
    """The node key did not sign this binding."""


class NodeKeyTaken(PalletError):
    """The key is bound to another account, or retired, or burnt."""


class UnknownNodeKey(PalletError):
    """There is no record of this node key."""


class VoteTooSmall(PalletError):
    """The lock of a vote must have the least amount."""


class VoteNotSorted(PalletError):
    """A vote names roles in ascending order, each once."""


class VoteForClosedRole(PalletError):
    """A vote names a role that does not exist or is off."""


class VoteDoesNotSum(PalletError):
    """The shares of a vote must sum to 10,000."""


class VoteShrinks(PalletError):
    """The lock of a vote cannot be lowered: take the vote back first."""


class TooManyVoters(PalletError):
    """There are as many votes as there can be: name a smaller one to evict."""


class CannotEvict(PalletError):
    """The vote to evict counts and is not smaller."""


class NoVote(PalletError):
    """The account has no vote."""


class VoteRemoved(PalletError):
    """The vote was taken back already."""


class VoteStillCounts(PalletError):
    """The vote was not taken back."""


class NotAValidator(PalletError):
    """The account is not a validator of that epoch."""


class AlreadyCommitted(PalletError):
    """The validator has committed to a row of this epoch already."""


class NotCommitted(PalletError):
    """The validator has not committed to a row of this epoch."""


class AlreadyRevealed(PalletError):
    """The validator has revealed its row already."""


class CommitmentMismatch(PalletError):
    """The row, the salt, the account, the epoch or the chain are not those of the commitment."""


class WrongLink(PalletError):
    """The link is not the pre-image of the last one."""


class RowNotSorted(PalletError):
    """A row is sorted by subject."""


class DuplicateEntry(PalletError):
    """A row names a subject once."""


class NotAttestable(PalletError):
    """Validators are not attested by rows."""


class UnitsAboveCapacity(PalletError):
    """More units than the measured capacity."""


class NotAssigned(PalletError):
    """The validator is not assigned to the subject."""


class BadWorkRoot(PalletError):
    """A work root is not zero and has at least one session."""


class AlreadyPosted(PalletError):
    """It was posted already."""


class TooManyPlants(PalletError):
    """As many faults are planted as there can be."""


class UnknownPlant(PalletError):
    """No fault was planted with this commitment."""


class NothingToClaim(PalletError):
    """The subject earned nothing in that epoch."""


class AlreadyClaimed(PalletError):
    """The reward has been claimed."""


class StillWithheld(PalletError):
    """The reward is withheld for some epochs."""


class Forfeited(PalletError):
    """The reward was withheld, and a fault was found."""


class ClaimExpired(PalletError):
    """The reward has gone to the treasury."""


class AlreadyReported(PalletError):
    """The key was reported and burnt already."""


class DifferentSteps(PalletError):
    """The receipts are not about one step."""


class SameReceipt(PalletError):
    """The receipts say the same."""


class BadReceiptSignature(PalletError):
    """The node key did not sign this receipt."""


class UnknownSlash(PalletError):
    """There is no such slash."""


class BreakerOpen(PalletError):
    """There were far more slashes than usual in this epoch: wait, or ask governance."""


class OwnSubject(PalletError):
    """A validator cannot dispute its own subject."""


class DisputeExists(PalletError):
    """The subject is disputed already."""


class UnknownDispute(PalletError):
    """There is no dispute about the subject."""


class NoPanelYet(PalletError):
    """The panel is drawn from the seed of the epoch after the opening."""


class NotOnPanel(PalletError):
    """The account is not on the panel."""


class AlreadyJudged(PalletError):
    """The account has judged already."""


class DisputeOver(PalletError):
    """The time for judging is over."""


class DisputeHeld(PalletError):
    """Governance must decide about the dispute."""


class DisputeNotHeld(PalletError):
    """The dispute does not wait for governance."""


class UnknownWorkRoot(PalletError):
    """There is no such work root, or it was refuted."""


class BadProof(PalletError):
    """The proof does not lead from the leaf at its position to the work root."""


class SameLeaf(PalletError):
    """Both proofs are about one leaf."""


class DifferentSessions(PalletError):
    """The leaves are of different sessions."""


BY_NAME: dict[str, type[PalletError]] = {kind.__name__: kind for kind in PalletError.__subclasses__()}
