//! The clock, and the steps that finalise an epoch.
//!
//! ```text
//! Commit --(commit_blocks)--> Reveal --(reveal_blocks)--> Finalise --(last step)--> Open --(epoch_blocks)--> Commit of e+1
//! ```

use crate::{
	pallet::{
		Attestations, Bonds, ClassFaults, Config, CurrentBooks, CurrentEpoch, Earnings, EpochValidators, Error, Event,
		NextSlot, NextStep, Pallet, Params, PausedSince, Plants, SeedChains, Seeds, Subjects, ValidatorSlots,
		WorkRoots,
	},
	types::{
		Books, Epoch, EpochIndex, FrozenValidator, Measurement, Phase, Slot, Step, SubjectIndex, Tally, MAX_ROLES,
		PAGE, VALIDATOR, VALIDATOR_PAGE,
	},
	weights::WeightInfo,
};
use alloc::vec::Vec;
use frame_support::{
	ensure,
	pallet_prelude::{DispatchResult, Weight},
	traits::Get,
	weights::WeightMeter,
	BoundedVec,
};
use frame_system::pallet_prelude::BlockNumberFor;
use peerz_consensus::seed::next_seed;
use sp_core::H256;
use sp_runtime::traits::{One, Saturating};

/// Keys of one kind that a purging step deletes.
pub(crate) const PURGED: u32 = 64;

impl<T: Config> Pallet<T> {
	/// Moves the clock: O(1).
	pub(crate) fn tick(now: BlockNumberFor<T>) {
		let mut epoch = CurrentEpoch::<T>::get();
		if PausedSince::<T>::exists() || epoch.phase == Phase::Finalise || now < epoch.phase_end {
			return;
		}
		let params = Params::<T>::get();
		match epoch.phase {
			Phase::Commit => {
				epoch.phase = Phase::Reveal;
				epoch.phase_end = now.saturating_add(params.reveal_blocks.into());
			}
			Phase::Reveal => {
				epoch.phase = Phase::Finalise;
				epoch.phase_end = now;
				NextStep::<T>::put(Step::Seal);
			}
			Phase::Finalise => return,
			Phase::Open => {
				let Some(index) = epoch.index.checked_add(1) else {
					return;
				};
				epoch = Epoch {
					index,
					phase: Phase::Commit,
					started: now,
					phase_end: now.saturating_add(params.commit_blocks.into()),
				};
				Self::deposit_event(Event::EpochStarted { epoch: index });
			}
		}
		CurrentEpoch::<T>::put(epoch);
		Self::deposit_event(Event::PhaseStarted {
			epoch: epoch.index,
			phase: epoch.phase,
		});
	}

	/// The epoch that is attested in `epoch`.
	pub(crate) fn attested_in(epoch: EpochIndex) -> EpochIndex {
		epoch.saturating_sub(1)
	}

	/// What the next step costs.
	pub(crate) fn step_weight() -> Weight {
		let work = Self::attested_in(CurrentEpoch::<T>::get().index);
		let validators = EpochValidators::<T>::decode_len(work).unwrap_or(0) as u32;
		match NextStep::<T>::get() {
			Step::Seal => T::WeightInfo::finalise_validators(validators),
			Step::Subjects(_) => T::WeightInfo::finalise_subjects(PAGE, validators),
			Step::Validators(_) => T::WeightInfo::finalise_validators(VALIDATOR_PAGE),
			Step::Freeze => T::WeightInfo::finalise_validators(T::MaxValidators::get()),
			Step::Close => T::WeightInfo::close(),
			Step::Review => T::WeightInfo::review(T::MaxVoters::get()),
			Step::Purge => T::WeightInfo::purge(4 * PURGED),
		}
	}

	/// What the dearest step costs.
	pub(crate) fn greatest_step_weight() -> Weight {
		let validators = T::MaxValidators::get();
		T::WeightInfo::finalise_validators(validators)
			.max(T::WeightInfo::finalise_subjects(PAGE, validators))
			.max(T::WeightInfo::close())
			.max(T::WeightInfo::review(T::MaxVoters::get()))
			.max(T::WeightInfo::purge(4 * PURGED))
	}

	/// Runs steps with weight that a block has left.
	pub(crate) fn crank(meter: &mut WeightMeter) {
		let read = T::DbWeight::get().reads(5);
		if meter.try_consume(read).is_err() {
			return;
		}
		for _ in 0..Params::<T>::get().idle_steps {
			let paused = PausedSince::<T>::exists();
			if paused || CurrentEpoch::<T>::get().phase != Phase::Finalise {
				return;
			}
			if meter.try_consume(Self::step_weight()).is_err() {
				return;
			}
			Self::run_step();
		}
	}

	pub(crate) fn do_finalise() -> DispatchResult {
		ensure!(
			CurrentEpoch::<T>::get().phase == Phase::Finalise,
			Error::<T>::WrongPhase
		);
		Self::run_step();
		Ok(())
	}

	/// Runs the next step, and opens the epoch after the last one.
	fn run_step() {
		let epoch = CurrentEpoch::<T>::get();
		let work = Self::attested_in(epoch.index);
		let step = NextStep::<T>::get();
		let next = match step {
			Step::Seal => {
				Self::seal(epoch.index, work);
				Some(Step::Subjects(0))
			}
			Step::Subjects(page) => {
				Self::aggregate(work, page);
				let pages = NextSlot::<T>::get().div_ceil(PAGE);
				let next = page.saturating_add(1);
				Some(if next < pages {
					Step::Subjects(next)
				} else {
					Step::Validators(0)
				})
			}
			Step::Validators(page) => {
				let next = page.saturating_add(1);
				let more = Self::pay_validators(work, page);
				Some(if more { Step::Validators(next) } else { Step::Close })
			}
			Step::Close => {
				Self::close(work);
				Some(Step::Review)
			}
			Step::Review => {
				Self::review_weights(epoch.index);
				Some(Step::Purge)
			}
			Step::Purge => Some(if Self::purge(work) { Step::Purge } else { Step::Freeze }),
			Step::Freeze => {
				Self::freeze(epoch.index.saturating_add(1));
				None
			}
		};
		Self::deposit_event(Event::StepDone { epoch: work, step });
		match next {
			Some(next) => NextStep::<T>::put(next),
			None => Self::open(epoch),
		}
	}

	fn open(mut epoch: Epoch<BlockNumberFor<T>>) {
		let now = frame_system::Pallet::<T>::block_number();
		let end = epoch.started.saturating_add(Params::<T>::get().epoch_blocks.into());
		epoch.phase = Phase::Open;
		epoch.phase_end = end.max(now.saturating_add(One::one()));
		CurrentEpoch::<T>::put(epoch);
		CurrentBooks::<T>::kill();
		Self::deposit_event(Event::EpochFinalised {
			epoch: Self::attested_in(epoch.index),
		});
		Self::deposit_event(Event::PhaseStarted {
			epoch: epoch.index,
			phase: Phase::Open,
		});
	}

	/// Fixes the seed of `epoch` from the links that were shown in it, and opens the books.
	fn seal(epoch: EpochIndex, work: EpochIndex) {
		let validators = EpochValidators::<T>::get(work);
		let mut reveals: Vec<(u32, [u8; 32])> = Vec::new();
		let mut books = Books::default();
		for slot in 0..validators.len() as u32 {
			let revealed = Attestations::<T>::get(work, slot as Slot).and_then(|attestation| attestation.revealed);
			if let Some(revealed) = revealed {
				reveals.push((slot, revealed.link.0));
			}
			let revealed = revealed.is_some();
			// As many as there are validators, which fits.
			let _ = books.measurements.try_push(Measurement {
				revealed,
				..Default::default()
			});
		}
		for _ in Self::role_ids() {
			let _ = books.tallies.try_push(Tally::default());
		}
		let previous = Seeds::<T>::get(work).unwrap_or_default();
		// Slots are distinct, so there is always a seed.
		let seed = next_seed(&previous.0, epoch, &reveals).map_or(previous, H256);
		Seeds::<T>::insert(epoch, seed);
		CurrentBooks::<T>::put(books);
		Self::deposit_event(Event::SeedFixed {
			epoch,
			seed,
			links: reveals.len() as u32,
		});
	}

	/// Forgets the details of the epoch that has left the history; whether there may be more of them.
	fn purge(work: EpochIndex) -> bool {
		let Some(old) = work.checked_sub(T::HistoryDepth::get()) else {
			return false;
		};
		EpochValidators::<T>::remove(old);
		Seeds::<T>::remove(old);
		Plants::<T>::remove(old);
		// Drained, not cleared by prefix: without a cursor, a second step in one block would meet the keys that the first one
		// deleted, and do nothing for free.
		let purged = PURGED as usize;
		let gone = [
			Earnings::<T>::drain_prefix(old).take(purged).count(),
			WorkRoots::<T>::drain_prefix(old).take(purged).count(),
			Attestations::<T>::drain_prefix(old).take(purged).count(),
			ClassFaults::<T>::drain_prefix(old).take(purged).count(),
		];
		gone.contains(&purged)
	}

	/// Freezes the validators whose rows about `epoch` will count.
	fn freeze(epoch: EpochIndex) {
		let least = Self::role(VALIDATOR).map_or(0, |role| role.terms.min_bond);
		let frozen: Vec<FrozenValidator<T::AccountId>> = ValidatorSlots::<T>::get()
			.into_iter()
			.filter_map(|index| {
				let subject = Subjects::<T>::get(index)?;
				let stake = Bonds::<T>::get(&subject.account, VALIDATOR).active;
				// A slash can leave less than the least bond.
				let counts = Self::counts_in(&subject, epoch) && stake >= least && stake > 0;
				counts.then_some(FrozenValidator {
					account: subject.account,
					index,
					generation: subject.generation,
					stake,
				})
			})
			.collect();
		let frozen = BoundedVec::truncate_from(frozen);
		Self::deposit_event(Event::ValidatorsFrozen {
			epoch,
			validators: frozen.len() as u32,
		});
		EpochValidators::<T>::insert(epoch, frozen);
	}

	/// Writes the clock and the seed of block zero.
	pub(crate) fn begin_epochs(seed: H256) {
		Seeds::<T>::insert(0, seed);
		NextStep::<T>::put(Step::Seal);
	}

	/// The slot of a validator in the frozen set of `epoch`.
	pub(crate) fn slot_of(epoch: EpochIndex, who: &T::AccountId) -> Option<(Slot, FrozenValidator<T::AccountId>)> {
		let validators = EpochValidators::<T>::get(epoch);
		let position = validators.iter().position(|validator| validator.account == *who)?;
		Some((position as Slot, validators.get(position)?.clone()))
	}

	/// Shows a link of the seed chain at `index`.
	pub(crate) fn advance_chain(index: SubjectIndex, link: H256) {
		if let Some(mut chain) = Self::seed_chain(index) {
			chain.tip = link;
			SeedChains::<T>::insert(index, chain);
		}
	}
}

const _: () = assert!(MAX_ROLES <= u8::MAX as u32 && VALIDATOR_PAGE > 0 && PAGE > 0);
