//! # Peerz
//!
//! The chain's part of the Peerz network: an open registry of roles, bonds, role weights by vote, attestations by
//! commit and reveal, rewards that are claimed, and slashes that can be disputed. `docs/chain.md` shows the state
//! machine and explains every number.
//!
//! ## Habits
//!
//! * A call checks everything, then writes. One error per cause, one event per change.
//! * The hook is O(1). What needs a loop is a step of [`Call::finalise`], bounded by a constant, that anybody may drive.
//! * Rewards are pulled. Bonds are holds. Amounts are integers, and what rounding leaves over goes to the treasury.
//! * Slots of subjects are used again; everything about a subject is keyed or checked by account and generation.
//! * The pallet is the only writer of total issuance: it emits, and never burns.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

use frame_support::pallet_macros::import_section;
pub use pallet::*;

mod aggregation;
mod attestations;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
pub mod bindings;
mod bonds;
mod calls;
pub mod disputes;
mod epochs;
mod errors;
mod events;
mod fault_types;
mod governance;
mod invariants;
mod members;
pub mod params;
mod registry;
mod rewards;
mod roles;
mod slashes;
pub mod types;
mod views;
mod votes;
pub mod weights;

#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use params::{Parameters, PRZ};
pub use weights::{CountedWeight, WeightInfo};

#[import_section(events::events)]
#[import_section(errors::errors)]
#[import_section(calls::calls)]
#[frame_support::pallet]
pub mod pallet {
	use crate::{params::Parameters, types::*, weights::WeightInfo};
	use alloc::vec::Vec;
	use frame_support::{
		dispatch::WithPostDispatchInfo,
		pallet_prelude::*,
		traits::{fungible, UnixTime},
		weights::WeightMeter,
		PalletId,
	};
	use frame_system::pallet_prelude::*;
	use sp_core::H256;

	/// The layout of the storage.
	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	/// What the pallet needs of its runtime.
	#[pallet::config]
	pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>, AccountId: AsRef<[u8; 32]>> {
		/// PRZ: holds for bonds, locks and deposits, and the emission.
		type Currency: fungible::Mutate<Self::AccountId>
			+ fungible::Inspect<Self::AccountId, Balance = Balance>
			+ fungible::hold::Mutate<Self::AccountId, Reason = Self::RuntimeHoldReason>;
		/// The runtime's hold reasons, which include the pallet's.
		type RuntimeHoldReason: From<HoldReason>;
		/// Who changes parameters and roles, and spends from the treasury.
		type GovernanceOrigin: EnsureOrigin<Self::RuntimeOrigin>;
		/// Who cancels slashes.
		type CancelOrigin: EnsureOrigin<Self::RuntimeOrigin>;
		/// Who pauses the pallet.
		type PauseOrigin: EnsureOrigin<Self::RuntimeOrigin>;
		/// The clock of bindings' expiry.
		type UnixTime: UnixTime;
		/// Names the accounts of the pot and of the treasury.
		#[pallet::constant]
		type PalletId: Get<PalletId>;
		/// Most subjects at once. At most 4,096.
		#[pallet::constant]
		type MaxSubjects: Get<u32>;
		/// Most validators at once. At most 128.
		#[pallet::constant]
		type MaxValidators: Get<u32>;
		/// Most votes at once. One review reads all of them.
		#[pallet::constant]
		type MaxVoters: Get<u32>;
		/// Epochs for which rewards can be claimed.
		#[pallet::constant]
		type HistoryDepth: Get<u32>;
		/// What calls cost.
		type WeightInfo: WeightInfo;
	}

	/// Why the pallet holds funds.
	#[pallet::composite_enum]
	pub enum HoldReason {
		/// The bond of a provider, a validator or a member.
		Bond,
		/// The lock of a vote on role weights.
		Vote,
		/// The deposit of a registration or of a dispute.
		Deposit,
	}

	// --- Governance -------------------------------------------------------------------------------------------------

	/// The numbers that governance may change.
	#[pallet::storage]
	pub type Params<T: Config> = StorageValue<_, Parameters, ValueQuery>;

	/// The block in which the pallet was paused, while it is.
	#[pallet::storage]
	pub type PausedSince<T: Config> = StorageValue<_, BlockNumberFor<T>, OptionQuery>;

	// --- Roles ------------------------------------------------------------------------------------------------------

	/// The roles that share in the rewards. At most 16, ever.
	#[pallet::storage]
	pub type Roles<T: Config> = StorageMap<_, Twox64Concat, RoleId, Role, OptionQuery>;

	/// The id of the next role. Ids are never given twice.
	#[pallet::storage]
	pub type NextRole<T: Config> = StorageValue<_, RoleId, ValueQuery>;

	/// The weights in force before scarcity, in parts per million, by id of the role. They sum to one whole.
	#[pallet::storage]
	pub type RoleWeights<T: Config> = StorageValue<_, Weights, ValueQuery>;

	// --- Registry ---------------------------------------------------------------------------------------------------

	/// Whoever can be paid, by slot.
	#[pallet::storage]
	pub type Subjects<T: Config> = StorageMap<_, Twox64Concat, SubjectIndex, Subject<T::AccountId>, OptionQuery>;

	/// How many subjects are registered.
	#[pallet::storage]
	pub type SubjectCount<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// The slot after the last one that was ever used.
	#[pallet::storage]
	pub type NextSlot<T: Config> = StorageValue<_, SubjectIndex, ValueQuery>;

	/// A stack of slots that are free again: position to slot.
	#[pallet::storage]
	pub type FreeSlots<T: Config> = StorageMap<_, Twox64Concat, u32, SubjectIndex, OptionQuery>;

	/// The height of that stack.
	#[pallet::storage]
	pub type FreeSlotCount<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// How many subjects have left a slot.
	#[pallet::storage]
	pub type Generations<T: Config> = StorageMap<_, Twox64Concat, SubjectIndex, Generation, ValueQuery>;

	/// The slot of an account in a role. Models are not in here: an owner may have several.
	#[pallet::storage]
	pub type SlotOf<T: Config> =
		StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Twox64Concat, RoleId, SubjectIndex, OptionQuery>;

	/// The models that can be served, by the root of their manifest.
	#[pallet::storage]
	pub type Models<T: Config> = StorageMap<_, Blake2_128Concat, ModelRoot, Model<T::AccountId>, OptionQuery>;

	/// The models of an owner.
	#[pallet::storage]
	pub type ModelsOf<T: Config> = StorageMap<
		_,
		Blake2_128Concat,
		T::AccountId,
		BoundedVec<ModelRoot, ConstU32<MAX_MODELS_PER_OWNER>>,
		ValueQuery,
	>;

	/// The slots of the validators that have not left, in order of registration.
	#[pallet::storage]
	pub type ValidatorSlots<T: Config> =
		StorageValue<_, BoundedVec<SubjectIndex, ConstU32<MAX_VALIDATORS>>, ValueQuery>;

	/// The seed chain of a validator, by slot.
	#[pallet::storage]
	pub type SeedChains<T: Config> = StorageMap<_, Twox64Concat, SubjectIndex, SeedChain, OptionQuery>;

	/// What an account has bonded in a role. All of it is held.
	#[pallet::storage]
	pub type Bonds<T: Config> =
		StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Twox64Concat, RoleId, Bond, ValueQuery>;

	/// Open disputes and pending slashes against an account. While there are any, its bonds stay.
	#[pallet::storage]
	pub type Accusations<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, u32, ValueQuery>;

	// --- Node keys --------------------------------------------------------------------------------------------------

	/// Every node key that is, or was until lately, bound to an account.
	#[pallet::storage]
	pub type NodeKeys<T: Config> = StorageMap<_, Blake2_128Concat, NodeKey, KeyRecord<T::AccountId>, OptionQuery>;

	/// The node key of an account.
	#[pallet::storage]
	pub type NodeKeyOf<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, NodeKey, OptionQuery>;

	// --- Epochs -----------------------------------------------------------------------------------------------------

	/// The clock of the pallet.
	#[pallet::storage]
	pub type CurrentEpoch<T: Config> = StorageValue<_, Epoch<BlockNumberFor<T>>, ValueQuery, FirstEpoch<T>>;

	/// The clock before anything happened.
	#[pallet::type_value]
	pub fn FirstEpoch<T: Config>() -> Epoch<BlockNumberFor<T>> {
		Epoch {
			index: 1,
			phase: Phase::Commit,
			started: Default::default(),
			phase_end: Params::<T>::get().commit_blocks.into(),
		}
	}

	/// The next step of finalising.
	#[pallet::storage]
	pub type NextStep<T: Config> = StorageValue<_, Step, ValueQuery, FirstStep>;

	/// Where finalising begins.
	#[pallet::type_value]
	pub fn FirstStep() -> Step {
		Step::Seal
	}

	/// The books of the epoch that is being finalised.
	#[pallet::storage]
	pub type CurrentBooks<T: Config> = StorageValue<_, Books, ValueQuery>;

	/// The seed of each epoch in the history, fixed when its links have been shown.
	#[pallet::storage]
	pub type Seeds<T: Config> = StorageMap<_, Twox64Concat, EpochIndex, H256, OptionQuery>;

	/// The validators of each epoch in the history. Stakes are never read later than here.
	#[pallet::storage]
	pub type EpochValidators<T: Config> = StorageMap<
		_,
		Twox64Concat,
		EpochIndex,
		BoundedVec<FrozenValidator<T::AccountId>, ConstU32<MAX_VALIDATORS>>,
		ValueQuery,
	>;

	/// What a validator committed to and revealed about an epoch, by its slot.
	#[pallet::storage]
	pub type Attestations<T: Config> =
		StorageDoubleMap<_, Twox64Concat, EpochIndex, Twox64Concat, Slot, Attestation, OptionQuery>;

	/// Rows that wait to be aggregated: by epoch, page of subjects, and slot of the validator.
	#[pallet::storage]
	pub type RowPages<T: Config> = StorageNMap<
		_,
		(
			NMapKey<Twox64Concat, EpochIndex>,
			NMapKey<Twox64Concat, u32>,
			NMapKey<Twox64Concat, Slot>,
		),
		RowPage,
		OptionQuery,
	>;

	/// Roots of the co-signed sessions of providers.
	#[pallet::storage]
	pub type WorkRoots<T: Config> =
		StorageDoubleMap<_, Twox64Concat, EpochIndex, Twox64Concat, SubjectIndex, WorkRoot, OptionQuery>;

	/// Faults that were planted in an epoch.
	#[pallet::storage]
	pub type Plants<T: Config> =
		StorageMap<_, Twox64Concat, EpochIndex, BoundedVec<Plant, ConstU32<MAX_PLANTS>>, ValueQuery>;

	// --- Rewards ----------------------------------------------------------------------------------------------------

	/// What subjects earned in each epoch of the history.
	#[pallet::storage]
	pub type Earnings<T: Config> =
		StorageDoubleMap<_, Twox64Concat, EpochIndex, Twox64Concat, SubjectIndex, Earning<T::AccountId>, OptionQuery>;

	/// The rewards of each epoch of the history, by role.
	#[pallet::storage]
	pub type Pools<T: Config> = StorageDoubleMap<_, Twox64Concat, EpochIndex, Twox64Concat, RoleId, Pool, OptionQuery>;

	/// Rewards of epochs in which nobody earned in the role: they go to its next pool.
	#[pallet::storage]
	pub type Carried<T: Config> = StorageMap<_, Twox64Concat, RoleId, Balance, ValueQuery>;

	/// What of the pot is promised: all that pools have left, and all that is carried.
	#[pallet::storage]
	pub type Obligations<T: Config> = StorageValue<_, Balance, ValueQuery>;

	/// What a role's weight is multiplied by, in parts per million.
	#[pallet::storage]
	pub type ScarcityOf<T: Config> = StorageMap<_, Twox64Concat, RoleId, u32, ValueQuery, NeitherScarceNorPlenty>;

	/// One.
	#[pallet::type_value]
	pub fn NeitherScarceNorPlenty() -> u32 {
		PPM
	}

	// --- Votes ------------------------------------------------------------------------------------------------------

	/// Votes on the weights of the roles. At most `MaxVoters`.
	#[pallet::storage]
	pub type Votes<T: Config> = CountedStorageMap<_, Blake2_128Concat, T::AccountId, Vote, OptionQuery>;

	/// The sum of all locks, of votes that count and of others.
	#[pallet::storage]
	pub type VoteLocked<T: Config> = StorageValue<_, Balance, ValueQuery>;

	/// The number of the next review.
	#[pallet::storage]
	pub type ReviewNumber<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// The epoch in which it is due.
	#[pallet::storage]
	pub type NextReview<T: Config> = StorageValue<_, EpochIndex, ValueQuery>;

	/// The last reviews, by number. At most 64.
	#[pallet::storage]
	pub type Reviews<T: Config> = StorageMap<_, Twox64Concat, u32, ReviewRecord, OptionQuery>;

	// --- Disputes ---------------------------------------------------------------------------------------------------

	/// Slashes that wait. Each comes from a fault, and anybody can apply it when it is due.
	#[pallet::storage]
	pub type PendingSlashes<T: Config> = StorageMap<_, Twox64Concat, u32, PendingSlash<T::AccountId>, OptionQuery>;

	/// The id of the next slash.
	#[pallet::storage]
	pub type NextSlash<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// What was slashed lately from an account's bond in a role.
	#[pallet::storage]
	pub type SlashedOf<T: Config> =
		StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Twox64Concat, RoleId, Slashed, ValueQuery>;

	/// How many slashes are usual, and how many there were in this epoch.
	#[pallet::storage]
	pub type SlashRate<T: Config> = StorageValue<_, Breaker, ValueQuery>;

	/// Open disputes, by the accused subject.
	#[pallet::storage]
	pub type Disputes<T: Config> = StorageMap<_, Twox64Concat, SubjectIndex, Dispute<T::AccountId>, OptionQuery>;

	/// Reproduced failures of a kernel class in an epoch.
	#[pallet::storage]
	pub type ClassFaults<T: Config> =
		StorageDoubleMap<_, Twox64Concat, EpochIndex, Blake2_128Concat, H256, u32, ValueQuery>;

	/// What a network begins with.
	#[pallet::genesis_config]
	pub struct GenesisConfig<T: Config> {
		/// The parameters; those of [`Parameters::default`] when there are none.
		pub parameters: Option<Parameters>,
		/// The beginning of the seed.
		pub seed: H256,
		/// Nothing: the type needs its runtime.
		#[serde(skip)]
		pub _runtime: core::marker::PhantomData<T>,
	}

	impl<T: Config> Default for GenesisConfig<T> {
		fn default() -> Self {
			Self {
				parameters: None,
				seed: H256::zero(),
				_runtime: Default::default(),
			}
		}
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		fn build(&self) {
			Pallet::<T>::begin(self.parameters.clone().unwrap_or_default(), self.seed);
		}
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn on_initialize(now: BlockNumberFor<T>) -> Weight {
			Self::tick(now);
			T::WeightInfo::on_initialize()
		}

		fn on_idle(_: BlockNumberFor<T>, remaining: Weight) -> Weight {
			let mut meter = WeightMeter::with_limit(remaining);
			Self::crank(&mut meter);
			meter.consumed()
		}

		fn integrity_test() {
			assert!(T::MaxValidators::get() <= MAX_VALIDATORS, "frozen sets would not fit");
			assert!(
				T::MaxSubjects::get() <= MAX_ROW,
				"a row about all subjects would not fit"
			);
			assert!(
				T::MaxValidators::get() < T::MaxSubjects::get(),
				"nobody could be validated"
			);
			assert!(T::HistoryDepth::get() >= 2, "nothing could be claimed");
			let step = Self::greatest_step_weight();
			let block = <T as frame_system::Config>::BlockWeights::get().max_block;
			assert!(
				step.all_lte(block / 2),
				"a step of finalising does not fit into half a block"
			);
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::check_invariants().map_err(sp_runtime::TryRuntimeError::Other)
		}
	}
}
