//! What the pallet tells: one event per change.

use frame_support::pallet_macros::pallet_section;

/// A section of the pallet: see the head of this file.
#[pallet_section]
mod events {
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// Governance changed the parameters.
		ParametersSet {
			/// The new ones.
			parameters: Parameters,
		},
		/// The pallet stands still.
		Paused,
		/// The pallet goes on.
		Resumed,
		/// Governance spent from the treasury.
		TreasurySpent {
			/// Who got it.
			to: T::AccountId,
			/// How much.
			amount: Balance,
		},
		/// There is a new role, with a weight of zero.
		RoleAdded {
			/// The role.
			role: RoleId,
			/// How its subjects earn.
			kind: RoleKind,
		},
		/// Governance changed a role.
		RoleChanged {
			/// The role.
			role: RoleId,
			/// Its new terms.
			terms: RoleTerms,
		},
		/// Funds were added to a bond.
		Bonded {
			/// Whose bond.
			account: T::AccountId,
			/// In which role.
			role: RoleId,
			/// How much was added.
			amount: Balance,
		},
		/// Funds are on their way out of a bond.
		Unbonded {
			/// Whose bond.
			account: T::AccountId,
			/// In which role.
			role: RoleId,
			/// How much.
			amount: Balance,
			/// The epoch from which they can be withdrawn.
			unlock: EpochIndex,
		},
		/// Funds left a bond.
		Withdrawn {
			/// Whose bond.
			account: T::AccountId,
			/// In which role.
			role: RoleId,
			/// How much.
			amount: Balance,
		},
		/// A provider, a validator, a model or a member was registered.
		SubjectRegistered {
			/// Its slot.
			index: SubjectIndex,
			/// The generation of the slot.
			generation: Generation,
			/// Who is paid.
			account: T::AccountId,
			/// In which role.
			role: RoleId,
		},
		/// A subject left: it earns no more after this epoch.
		SubjectLeft {
			/// Its slot.
			index: SubjectIndex,
			/// The last epoch of which its work counts.
			epoch: EpochIndex,
		},
		/// A subject is forgotten, its deposit returned and its slot free.
		SubjectReleased {
			/// Its slot.
			index: SubjectIndex,
		},
		/// A model was registered.
		ModelRegistered {
			/// The root of its manifest.
			root: ModelRoot,
			/// Its subject.
			index: SubjectIndex,
			/// Its shape.
			shape: ModelShape,
		},
		/// A validator named the start of another seed chain.
		SeedChainSet {
			/// The validator's slot.
			index: SubjectIndex,
			/// Its start.
			tip: H256,
			/// The epoch from which it counts.
			from: EpochIndex,
		},
		/// A node key was bound to an account, or its binding renewed.
		NodeKeyBound {
			/// The account.
			account: T::AccountId,
			/// The key.
			node_key: NodeKey,
			/// Until when the binding holds, in seconds since 1970.
			expiry: u64,
		},
		/// A node key was given up or replaced.
		NodeKeyRetired {
			/// The account.
			account: T::AccountId,
			/// The key.
			node_key: NodeKey,
		},
		/// A retired node key is forgotten, and its deposit returned.
		NodeKeyReleased {
			/// The key.
			node_key: NodeKey,
		},
		/// A vote was cast or confirmed.
		Voted {
			/// Whose vote.
			account: T::AccountId,
			/// Shares in basis points.
			shares: RoleShares,
			/// What is locked for it.
			amount: Balance,
			/// The first review that counts it.
			review: u32,
		},
		/// A vote was taken back.
		VoteRemoved {
			/// Whose vote.
			account: T::AccountId,
			/// The epoch from which its lock can be released.
			unlock: EpochIndex,
		},
		/// The lock of a vote that was taken back was released.
		VoteUnlocked {
			/// Whose vote.
			account: T::AccountId,
			/// What is free again.
			amount: Balance,
		},
		/// A vote made room for a greater one, and its lock was released.
		VoteEvicted {
			/// Whose vote.
			account: T::AccountId,
			/// What is free again.
			amount: Balance,
		},
		/// A review was held.
		WeightsReviewed {
			/// Its number.
			number: u32,
			/// Its result.
			record: ReviewRecord,
		},
		/// An epoch began.
		EpochStarted {
			/// Which.
			epoch: EpochIndex,
		},
		/// A phase began.
		PhaseStarted {
			/// In which epoch.
			epoch: EpochIndex,
			/// Which.
			phase: Phase,
		},
		/// A step of finalising was done.
		StepDone {
			/// The epoch that is finalised.
			epoch: EpochIndex,
			/// Which step.
			step: Step,
		},
		/// An epoch is final: its rewards can be claimed.
		EpochFinalised {
			/// Which.
			epoch: EpochIndex,
		},
		/// The seed of an epoch is fixed: who attests whom is known.
		SeedFixed {
			/// Which epoch.
			epoch: EpochIndex,
			/// The seed.
			seed: H256,
			/// Links that went into it.
			links: u32,
		},
		/// The validators of an epoch are fixed.
		ValidatorsFrozen {
			/// Which epoch.
			epoch: EpochIndex,
			/// How many there are.
			validators: u32,
		},
		/// A provider posted the root of its sessions.
		WorkRootPosted {
			/// In which epoch.
			epoch: EpochIndex,
			/// The provider.
			index: SubjectIndex,
			/// The root.
			root: H256,
			/// Leaves under it.
			sessions: u32,
		},
		/// A fault was planted.
		FaultPlanted {
			/// In which epoch.
			epoch: EpochIndex,
			/// What hides where.
			commitment: H256,
		},
		/// A planted fault was shown.
		PlantShown {
			/// In which epoch it was.
			epoch: EpochIndex,
			/// Which subject it was.
			index: SubjectIndex,
		},
		/// A validator committed to its row.
		RowCommitted {
			/// About which epoch.
			epoch: EpochIndex,
			/// Who.
			validator: T::AccountId,
		},
		/// A validator revealed its row.
		RowRevealed {
			/// About which epoch.
			epoch: EpochIndex,
			/// Who.
			validator: T::AccountId,
			/// Subjects in it.
			entries: u32,
			/// Merkle root over the evidence.
			evidence_root: H256,
		},
		/// A validator committed to a row and did not reveal it.
		RowHidden {
			/// About which epoch.
			epoch: EpochIndex,
			/// The validator's subject.
			index: SubjectIndex,
		},
		/// A validator's distance from the medians is known.
		ValidatorMeasured {
			/// In which epoch.
			epoch: EpochIndex,
			/// The validator's subject.
			index: SubjectIndex,
			/// Its relative distance, in parts per million.
			deviation: u32,
			/// The part of its pay that it keeps, in parts per million.
			score: u32,
		},
		/// A subject has earned a part of a pool.
		Earned {
			/// In which epoch.
			epoch: EpochIndex,
			/// Which subject.
			index: SubjectIndex,
			/// Its part of the pool's points.
			points: u128,
		},
		/// The rewards of an epoch are there.
		Emitted {
			/// Which epoch.
			epoch: EpochIndex,
			/// How much for all roles.
			amount: Balance,
		},
		/// A role's pool of an epoch is known. Without points it goes to the next one.
		PoolClosed {
			/// Which epoch.
			epoch: EpochIndex,
			/// Which role.
			role: RoleId,
			/// What is in it, with what was carried over.
			total: Balance,
			/// What it is divided by.
			points: u128,
		},
		/// A role is more scarce, or less.
		ScarcityChanged {
			/// After which epoch.
			epoch: EpochIndex,
			/// Which role.
			role: RoleId,
			/// What its weight is multiplied by from now on, in parts per million.
			multiplier: u32,
		},
		/// Rewards that nobody claimed went to the treasury.
		RewardsExpired {
			/// Of which epoch.
			epoch: EpochIndex,
			/// How much.
			amount: Balance,
		},
		/// A reward was paid.
		Claimed {
			/// Of which epoch.
			epoch: EpochIndex,
			/// Which subject earned it.
			index: SubjectIndex,
			/// Who was paid.
			account: T::AccountId,
			/// From the pool of which role.
			role: RoleId,
			/// How much.
			amount: Balance,
		},
		/// Two receipts of a node key for one step were shown. The key is burnt.
		EquivocationReported {
			/// Whose key.
			account: T::AccountId,
			/// The key.
			node_key: NodeKey,
			/// In which session.
			session: SessionId,
			/// At which step.
			seq: u64,
			/// Who showed it.
			reporter: T::AccountId,
		},
		/// A subject is out for some time.
		Jailed {
			/// Which.
			index: SubjectIndex,
			/// The first epoch whose work counts again.
			until: EpochIndex,
		},
		/// A slash waits.
		SlashQueued {
			/// Its id.
			id: u32,
			/// Who is to be slashed.
			account: T::AccountId,
			/// In which role's bond.
			role: RoleId,
			/// Why.
			fault: Fault,
			/// How much at most.
			amount: Balance,
			/// The epoch from which it can be applied.
			due: EpochIndex,
		},
		/// A slash was applied.
		Slashed {
			/// Its id.
			id: u32,
			/// Who was slashed.
			account: T::AccountId,
			/// In which role's bond.
			role: RoleId,
			/// Why.
			fault: Fault,
			/// How much, after all caps.
			amount: Balance,
			/// What of it went to the reporter. The rest went to the treasury.
			rewarded: Balance,
		},
		/// A slash was cancelled.
		SlashCancelled {
			/// Its id.
			id: u32,
			/// Who was to be slashed.
			account: T::AccountId,
		},
		/// A validator says that a provider's work is wrong.
		DisputeOpened {
			/// The accused subject.
			index: SubjectIndex,
			/// Who opened it.
			opener: T::AccountId,
			/// Hash of the committed bytes that show it.
			evidence: H256,
			/// The accused's kernel class.
			kernel_class: H256,
		},
		/// A member of the panel has judged.
		DisputeJudged {
			/// The accused subject.
			index: SubjectIndex,
			/// Who judged.
			member: T::AccountId,
			/// Whether it saw the same failure.
			reproduced: bool,
		},
		/// The failure is real, but many of the same kernel class fail: governance decides.
		DisputeHeld {
			/// The accused subject.
			index: SubjectIndex,
			/// The kernel class.
			kernel_class: H256,
		},
		/// A dispute is over.
		DisputeEnded {
			/// The accused subject.
			index: SubjectIndex,
			/// Whether the opener lost its deposit.
			forfeited: bool,
		},
		/// A work root counts a session twice. It is void.
		RootRefuted {
			/// Of which epoch.
			epoch: EpochIndex,
			/// Whose.
			index: SubjectIndex,
			/// The session.
			session: SessionId,
			/// Who showed it.
			reporter: T::AccountId,
		},
	}
}
