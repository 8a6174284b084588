//! Why the pallet refuses: one error per cause.

use frame_support::pallet_macros::pallet_section;

/// A section of the pallet: see the head of this file.
#[pallet_section]
mod errors {
	#[pallet::error]
	pub enum Error<T> {
		/// The pallet is paused.
		Paused,
		/// The pallet is not paused.
		NotPaused,
		/// The parameters do not fit together.
		InvalidParameters,
		/// There is no such role.
		UnknownRole,
		/// There are as many roles as there can ever be.
		TooManyRoles,
		/// The name of a role must have 1 to 32 bytes.
		BadRoleName,
		/// A role's floor and ceiling must be ordered shares, and all floors fit into one whole.
		BadRoleTerms,
		/// Only member roles can be added: the others are built in.
		BuiltInKind,
		/// The role is turned off.
		RoleDisabled,
		/// The call is not for roles of this kind.
		WrongRoleKind,
		/// An amount must not be zero.
		ZeroAmount,
		/// The bond is smaller than the amount.
		BondTooSmall,
		/// The role asks for a greater bond.
		BelowMinimumBond,
		/// Too many amounts are unbonding at once.
		TooManyUnbonding,
		/// Nothing can be withdrawn yet.
		NothingToWithdraw,
		/// A dispute or a slash is pending against the account.
		Accused,
		/// There is no such subject.
		UnknownSubject,
		/// The subject belongs to another account.
		NotOwner,
		/// There are as many subjects as there can be.
		TooManySubjects,
		/// The account is registered in this role already.
		AlreadyRegistered,
		/// The subject has left.
		AlreadyLeft,
		/// The subject has not left.
		StillActive,
		/// The time after leaving is not over.
		TooEarly,
		/// There are as many validators as there can be.
		TooManyValidators,
		/// The model is registered already.
		ModelExists,
		/// The owner has as many models as one may have.
		TooManyModels,
		/// A model has at least one block, one parameter and a width.
		BadModelShape,
		/// The root of a manifest must not be zero.
		BadModelRoot,
		/// Not in this phase of the epoch.
		WrongPhase,
		/// The account has no node key, or its binding has expired.
		NoNodeKey,
		/// The binding has expired.
		BindingExpired,
		/// The binding would hold for too long.
		BindingTooLong,
		/// A renewal must hold for longer than what it renews.
		NotARenewal,
		/// The account did not sign this binding.
		BadAccountSignature,
		/// The node key did not sign this binding.
		BadNodeSignature,
		/// The key is bound to another account, or retired, or burnt.
		NodeKeyTaken,
		/// There is no record of this node key.
		UnknownNodeKey,
		/// The lock of a vote must have the least amount.
		VoteTooSmall,
		/// A vote names roles in ascending order, each once.
		VoteNotSorted,
		/// A vote names a role that does not exist or is off.
		VoteForClosedRole,
		/// The shares of a vote must sum to 10,000.
		VoteDoesNotSum,
		/// The lock of a vote cannot be lowered: take the vote back first.
		VoteShrinks,
		/// There are as many votes as there can be: name a smaller one to evict.
		TooManyVoters,
		/// The vote to evict counts and is not smaller.
		CannotEvict,
		/// The account has no vote.
		NoVote,
		/// The vote was taken back already.
		VoteRemoved,
		/// The vote was not taken back.
		VoteStillCounts,
		/// The account is not a validator of that epoch.
		NotAValidator,
		/// The validator has committed to a row of this epoch already.
		AlreadyCommitted,
		/// The validator has not committed to a row of this epoch.
		NotCommitted,
		/// The validator has revealed its row already.
		AlreadyRevealed,
		/// The row, the salt, the account, the epoch or the chain are not those of the commitment.
		CommitmentMismatch,
		/// The link is not the pre-image of the last one.
		WrongLink,
		/// A row is sorted by subject.
		RowNotSorted,
		/// A row names a subject once.
		DuplicateEntry,
		/// Validators are not attested by rows.
		NotAttestable,
		/// More units than the measured capacity.
		UnitsAboveCapacity,
		/// The validator is not assigned to the subject.
		NotAssigned,
		/// A work root is not zero and has at least one session.
		BadWorkRoot,
		/// It was posted already.
		AlreadyPosted,
		/// As many faults are planted as there can be.
		TooManyPlants,
		/// No fault was planted with this commitment.
		UnknownPlant,
		/// The subject earned nothing in that epoch.
		NothingToClaim,
		/// The reward has been claimed.
		AlreadyClaimed,
		/// The reward is withheld for some epochs.
		StillWithheld,
		/// The reward was withheld, and a fault was found.
		Forfeited,
		/// The reward has gone to the treasury.
		ClaimExpired,
		/// The key was reported and burnt already.
		AlreadyReported,
		/// The receipts are not about one step.
		DifferentSteps,
		/// The receipts say the same.
		SameReceipt,
		/// The node key did not sign this receipt.
		BadReceiptSignature,
		/// There is no such slash.
		UnknownSlash,
		/// There were far more slashes than usual in this epoch: wait, or ask governance.
		BreakerOpen,
		/// A validator cannot dispute its own subject.
		OwnSubject,
		/// The subject is disputed already.
		DisputeExists,
		/// There is no dispute about the subject.
		UnknownDispute,
		/// The panel is drawn from the seed of the epoch after the opening.
		NoPanelYet,
		/// The account is not on the panel.
		NotOnPanel,
		/// The account has judged already.
		AlreadyJudged,
		/// The time for judging is over.
		DisputeOver,
		/// Governance must decide about the dispute.
		DisputeHeld,
		/// The dispute does not wait for governance.
		DisputeNotHeld,
		/// There is no such work root, or it was refuted.
		UnknownWorkRoot,
		/// The proof does not lead from the leaf at its position to the work root.
		BadProof,
		/// Both proofs are about one leaf.
		SameLeaf,
		/// The leaves are of different sessions.
		DifferentSessions,
	}
}
