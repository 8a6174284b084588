//! Slots of subjects; providers, validators and models.

use crate::{
	pallet::{
		Accusations, Config, CurrentEpoch, Error, Event, FreeSlotCount, FreeSlots, Generations, Models, ModelsOf,
		NextSlot, Pallet, Params, SeedChains, SlotOf, SubjectCount, Subjects, ValidatorSlots,
	},
	types::{
		Balance, EpochIndex, Model, ModelRoot, ModelShape, Phase, RoleId, RoleKind, SeedChain, Subject, SubjectIndex,
		COMPUTE, MODEL, VALIDATOR,
	},
};
use frame_support::{
	ensure,
	pallet_prelude::{DispatchError, DispatchResult},
	traits::Get,
};
use sp_core::H256;

impl<T: Config> Pallet<T> {
	/// A subject with its owner checked.
	pub(crate) fn owned(who: &T::AccountId, index: SubjectIndex) -> Result<Subject<T::AccountId>, DispatchError> {
		let subject = Subjects::<T>::get(index).ok_or(Error::<T>::UnknownSubject)?;
		ensure!(subject.account == *who, Error::<T>::NotOwner);
		Ok(subject)
	}

	/// Whether work of `epoch` counts for the subject.
	pub(crate) fn counts_in(subject: &Subject<T::AccountId>, epoch: EpochIndex) -> bool {
		subject.registered < epoch && subject.left.is_none_or(|left| epoch <= left) && subject.jailed_until <= epoch
	}

	/// Whether there is room for one more subject of `who` in `role`.
	pub(crate) fn check_can_register(who: &T::AccountId, role: RoleId) -> DispatchResult {
		// Validators always find a slot: with small deposits alone nobody takes them all and keeps new validators out.
		let kept = match role {
			VALIDATOR => 0,
			_ => {
				let here = ValidatorSlots::<T>::decode_len().unwrap_or(0) as u32;
				T::MaxValidators::get().saturating_sub(here)
			}
		};
		let taken = SubjectCount::<T>::get().saturating_add(kept);
		ensure!(taken < T::MaxSubjects::get(), Error::<T>::TooManySubjects);
		ensure!(!SlotOf::<T>::contains_key(who, role), Error::<T>::AlreadyRegistered);
		let role = Self::role(role)?;
		ensure!(role.terms.enabled, Error::<T>::RoleDisabled);
		Ok(())
	}

	/// Takes a slot and a deposit. The caller has checked that there is room.
	pub(crate) fn register(
		account: T::AccountId,
		role: RoleId,
		deposit: Balance,
	) -> Result<SubjectIndex, DispatchError> {
		Self::hold_deposit(&account, deposit)?;
		let index = Self::take_slot();
		let generation = Generations::<T>::get(index);
		Subjects::<T>::insert(
			index,
			Subject {
				account: account.clone(),
				role,
				generation,
				registered: CurrentEpoch::<T>::get().index,
				deposit,
				left: None,
				jailed_until: 0,
				clean_epochs: 0,
				last_fault: None,
			},
		);
		SubjectCount::<T>::mutate(|count| *count = count.saturating_add(1));
		if role != MODEL {
			SlotOf::<T>::insert(&account, role, index);
		}
		Self::deposit_event(Event::SubjectRegistered {
			index,
			generation,
			account,
			role,
		});
		Ok(index)
	}

	fn take_slot() -> SubjectIndex {
		let top = FreeSlotCount::<T>::get().checked_sub(1);
		match top.and_then(|top| FreeSlots::<T>::take(top).map(|slot| (top, slot))) {
			Some((top, slot)) => {
				FreeSlotCount::<T>::put(top);
				slot
			}
			None => NextSlot::<T>::mutate(|next| {
				let slot = *next;
				*next = next.saturating_add(1);
				slot
			}),
		}
	}

	pub(crate) fn do_register_provider(who: T::AccountId) -> DispatchResult {
		Self::check_can_register(&who, COMPUTE)?;
		ensure!(Self::bound_node_key(&who).is_some(), Error::<T>::NoNodeKey);
		Self::register(who, COMPUTE, Params::<T>::get().subject_deposit)?;
		Ok(())
	}

	pub(crate) fn do_register_validator(who: T::AccountId, tip: H256) -> DispatchResult {
		Self::check_can_register(&who, VALIDATOR)?;
		let role = Self::role(VALIDATOR)?;
		let bond = Self::active_bond(&who, VALIDATOR);
		ensure!(bond >= role.terms.min_bond && bond > 0, Error::<T>::BelowMinimumBond);
		let mut slots = ValidatorSlots::<T>::get();
		ensure!(
			(slots.len() as u32) < T::MaxValidators::get(),
			Error::<T>::TooManyValidators
		);
		let index = Self::register(who, VALIDATOR, Params::<T>::get().subject_deposit)?;
		slots.try_push(index).map_err(|_| Error::<T>::TooManyValidators)?;
		ValidatorSlots::<T>::put(slots);
		SeedChains::<T>::insert(index, SeedChain { tip, next: None });
		Ok(())
	}

	pub(crate) fn do_set_seed_chain(who: T::AccountId, tip: H256) -> DispatchResult {
		let index = SlotOf::<T>::get(&who, VALIDATOR).ok_or(Error::<T>::UnknownSubject)?;
		let epoch = CurrentEpoch::<T>::get();
		ensure!(epoch.phase == Phase::Commit, Error::<T>::WrongPhase);
		let from = epoch.index.saturating_add(1);
		let mut chain = Self::seed_chain(index).ok_or(Error::<T>::UnknownSubject)?;
		chain.next = Some((tip, from));
		SeedChains::<T>::insert(index, chain);
		Self::deposit_event(Event::SeedChainSet { index, tip, from });
		Ok(())
	}

	/// A validator's seed chain as of this epoch.
	pub(crate) fn seed_chain(index: SubjectIndex) -> Option<SeedChain> {
		let chain = SeedChains::<T>::get(index)?;
		match chain.next {
			Some((tip, from)) if from <= CurrentEpoch::<T>::get().index => Some(SeedChain { tip, next: None }),
			_ => Some(chain),
		}
	}

	pub(crate) fn do_register_model(who: T::AccountId, root: ModelRoot, shape: ModelShape) -> DispatchResult {
		Self::check_can_register(&who, MODEL)?;
		ensure!(!root.is_zero(), Error::<T>::BadModelRoot);
		ensure!(
			shape.blocks > 0 && shape.params_per_block > 0 && shape.d_model > 0,
			Error::<T>::BadModelShape
		);
		ensure!(!Models::<T>::contains_key(root), Error::<T>::ModelExists);
		let mut models = ModelsOf::<T>::get(&who);
		models.try_push(root).map_err(|_| Error::<T>::TooManyModels)?;
		let index = Self::register(who.clone(), MODEL, Params::<T>::get().model_deposit)?;
		ModelsOf::<T>::insert(&who, models);
		Models::<T>::insert(
			root,
			Model {
				owner: who,
				index,
				shape,
			},
		);
		Self::deposit_event(Event::ModelRegistered { root, index, shape });
		Ok(())
	}

	pub(crate) fn do_leave(who: T::AccountId, index: SubjectIndex) -> DispatchResult {
		let mut subject = Self::owned(&who, index)?;
		ensure!(subject.left.is_none(), Error::<T>::AlreadyLeft);
		let epoch = CurrentEpoch::<T>::get().index;
		subject.left = Some(epoch);
		if subject.role == VALIDATOR {
			ValidatorSlots::<T>::mutate(|slots| slots.retain(|slot| *slot != index));
		}
		Subjects::<T>::insert(index, subject);
		Self::deposit_event(Event::SubjectLeft { index, epoch });
		Ok(())
	}

	pub(crate) fn do_release(who: T::AccountId, index: SubjectIndex) -> DispatchResult {
		let subject = Self::owned(&who, index)?;
		let left = subject.left.ok_or(Error::<T>::StillActive)?;
		ensure!(Accusations::<T>::get(&who) == 0, Error::<T>::Accused);
		let from = left.saturating_add(Params::<T>::get().unbonding_epochs);
		// The subject is what remembers that withheld pay was forfeited: it stays until the last of it has expired.
		let expired = |fault: EpochIndex| fault.saturating_add(T::HistoryDepth::get()).saturating_add(2);
		let from = subject.last_fault.map_or(from, |fault| from.max(expired(fault)));
		ensure!(CurrentEpoch::<T>::get().index >= from, Error::<T>::TooEarly);
		Self::return_deposit(&who, subject.deposit)?;

		if subject.role == MODEL {
			ModelsOf::<T>::mutate_exists(&who, |models| {
				if let Some(roots) = models {
					roots.retain(|root| {
						let gone = Models::<T>::get(root).is_some_and(|model| model.index == index);
						if gone {
							Models::<T>::remove(root);
						}
						!gone
					});
				}
				*models = models.take().filter(|roots| !roots.is_empty());
			});
		} else {
			SlotOf::<T>::remove(&who, subject.role);
		}
		SeedChains::<T>::remove(index);
		Subjects::<T>::remove(index);
		SubjectCount::<T>::mutate(|count| *count = count.saturating_sub(1));
		Generations::<T>::mutate(index, |generation| *generation = generation.saturating_add(1));
		FreeSlots::<T>::insert(FreeSlotCount::<T>::get(), index);
		FreeSlotCount::<T>::mutate(|count| *count = count.saturating_add(1));
		Self::deposit_event(Event::SubjectReleased { index });
		Ok(())
	}

	/// The kind of a subject's role.
	pub(crate) fn kind_of(subject: &Subject<T::AccountId>) -> Option<RoleKind> {
		Self::role(subject.role).ok().map(|role| role.kind)
	}
}
