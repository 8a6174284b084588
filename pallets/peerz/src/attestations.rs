//! Work roots, planted faults, commitments and rows.

use crate::{
	pallet::{
		Attestations, Config, CurrentEpoch, EpochValidators, Error, Event, NextSlot, Pallet, Params, Plants, RowPages,
		Seeds, SlotOf, Subjects, WorkRoots,
	},
	types::{
		Attestation, EpochIndex, FrozenValidator, Generation, Phase, Plant, Revealed, Row, RowPage, Slot, Subject,
		SubjectIndex, WorkRoot, COMPUTE, PAGE, VALIDATOR,
	},
};
use alloc::{collections::BTreeMap, vec::Vec};
use codec::Encode;
use frame_support::{
	ensure,
	pallet_prelude::{DispatchError, DispatchResult},
};
use frame_system::pallet_prelude::BlockNumberFor;
use peerz_consensus::{assignment, commit::commit_hash, seed::is_next};
use sp_core::H256;
use sp_runtime::traits::Zero;

/// What the validators of an epoch are ranked and weighed by.
pub(crate) struct Assignment<AccountId> {
	pub seed: [u8; 32],
	pub keys: Vec<Vec<u8>>,
	pub validators: Vec<FrozenValidator<AccountId>>,
}

impl<T: Config> Pallet<T> {
	/// The genesis hash, which keeps signatures and commitments from other chains.
	pub(crate) fn genesis_hash() -> [u8; 32] {
		let hash = frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero());
		let mut genesis = [0; 32];
		genesis.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
		genesis
	}

	/// What a validator or a subject is ranked by: an account with the generation of its slot.
	pub(crate) fn rank_key(account: &T::AccountId, generation: Generation) -> Vec<u8> {
		(account, generation).encode()
	}

	pub(crate) fn assignment(epoch: EpochIndex) -> Assignment<T::AccountId> {
		let validators = EpochValidators::<T>::get(epoch).into_inner();
		Assignment {
			seed: Seeds::<T>::get(epoch).unwrap_or_default().0,
			keys: validators
				.iter()
				.map(|validator| Self::rank_key(&validator.account, validator.generation))
				.collect(),
			validators,
		}
	}

	/// The slots that attest a subject's work of `epoch`.
	pub(crate) fn assigned_slots(epoch: EpochIndex, subject: &Subject<T::AccountId>) -> Vec<(Slot, T::AccountId)> {
		let Assignment { seed, keys, validators } = Self::assignment(epoch);
		let key = Self::rank_key(&subject.account, subject.generation);
		assignment::assigned(&Params::<T>::get().assignment(), &seed, &key, &keys)
			.into_iter()
			.filter_map(|slot| Some((slot as Slot, validators.get(slot)?.account.clone())))
			.collect()
	}

	/// Those of `subjects` that a validator attests in `epoch`.
	pub(crate) fn assigned_among(
		epoch: EpochIndex,
		validator: &T::AccountId,
		subjects: Vec<(SubjectIndex, Subject<T::AccountId>)>,
	) -> Vec<SubjectIndex> {
		let params = Params::<T>::get().assignment();
		let Assignment { seed, keys, validators } = Self::assignment(epoch);
		let slot = validators.iter().position(|one| one.account == *validator);
		let Some(slot) = slot.filter(|_| Seeds::<T>::contains_key(epoch)) else {
			return Vec::new();
		};
		subjects
			.into_iter()
			.filter(|(_, subject)| {
				let key = Self::rank_key(&subject.account, subject.generation);
				assignment::is_assigned(&params, &seed, &key, &keys, slot)
			})
			.map(|(index, _)| index)
			.collect()
	}

	pub(crate) fn do_submit_work_root(who: T::AccountId, root: H256, sessions: u32) -> DispatchResult {
		let epoch = Self::in_phase(Phase::Commit)?;
		let index = SlotOf::<T>::get(&who, COMPUTE).ok_or(Error::<T>::UnknownSubject)?;
		let subject = Self::owned(&who, index)?;
		ensure!(subject.left.is_none(), Error::<T>::AlreadyLeft);
		ensure!(!root.is_zero() && sessions > 0, Error::<T>::BadWorkRoot);
		ensure!(!WorkRoots::<T>::contains_key(epoch, index), Error::<T>::AlreadyPosted);
		WorkRoots::<T>::insert(
			epoch,
			index,
			WorkRoot {
				generation: subject.generation,
				root,
				sessions,
			},
		);
		Self::deposit_event(Event::WorkRootPosted {
			epoch,
			index,
			root,
			sessions,
		});
		Ok(())
	}

	pub(crate) fn do_plant(commitment: H256) -> DispatchResult {
		let epoch = CurrentEpoch::<T>::get().index;
		Plants::<T>::try_mutate(epoch, |plants| {
			let fresh = plants.iter().all(|plant| plant.commitment != commitment);
			ensure!(fresh, Error::<T>::AlreadyPosted);
			plants
				.try_push(Plant {
					commitment,
					index: None,
				})
				.map_err(|_| Error::<T>::TooManyPlants)
		})?;
		Self::deposit_event(Event::FaultPlanted { epoch, commitment });
		Ok(())
	}

	pub(crate) fn do_show_plant(index: SubjectIndex, salt: H256) -> DispatchResult {
		let work = Self::attested_in(Self::in_phase(Phase::Reveal)?);
		let commitment = Self::plant_hash(work, index, salt);
		Plants::<T>::try_mutate(work, |plants| {
			let plant = plants
				.iter_mut()
				.find(|plant| plant.commitment == commitment)
				.ok_or(Error::<T>::UnknownPlant)?;
			plant.index = Some(index);
			Ok::<_, DispatchError>(())
		})?;
		Self::deposit_event(Event::PlantShown { epoch: work, index });
		Ok(())
	}

	/// What commits to a planted fault.
	pub fn plant_hash(epoch: EpochIndex, index: SubjectIndex, salt: H256) -> H256 {
		let bytes = (*b"peerz/plant/v1", Self::genesis_hash(), epoch, index, salt).encode();
		H256(sp_io::hashing::blake2_256(&bytes))
	}

	pub(crate) fn do_commit(who: T::AccountId, commitment: H256) -> DispatchResult {
		let work = Self::attested_in(Self::in_phase(Phase::Commit)?);
		let (slot, _) = Self::slot_of(work, &who).ok_or(Error::<T>::NotAValidator)?;
		let fresh = !Attestations::<T>::contains_key(work, slot);
		ensure!(fresh, Error::<T>::AlreadyCommitted);
		Attestations::<T>::insert(
			work,
			slot,
			Attestation {
				commitment,
				revealed: None,
			},
		);
		Self::deposit_event(Event::RowCommitted {
			epoch: work,
			validator: who,
		});
		Ok(())
	}

	/// Takes a row. Returns how many validators it was ranked against.
	pub(crate) fn do_reveal(
		who: T::AccountId,
		row: Row,
		evidence_root: H256,
		salt: H256,
		link: H256,
	) -> Result<u32, DispatchError> {
		let work = Self::attested_in(Self::in_phase(Phase::Reveal)?);
		let (slot, validator) = Self::slot_of(work, &who).ok_or(Error::<T>::NotAValidator)?;
		let mut attestation = Attestations::<T>::get(work, slot).ok_or(Error::<T>::NotCommitted)?;
		ensure!(attestation.revealed.is_none(), Error::<T>::AlreadyRevealed);
		let commitment = commit_hash(&Self::genesis_hash(), work, &who, &(&row, evidence_root), &salt.0);
		ensure!(attestation.commitment.0 == commitment, Error::<T>::CommitmentMismatch);
		let chain = Self::seed_chain(validator.index).ok_or(Error::<T>::WrongLink)?;
		ensure!(is_next(&chain.tip.0, &link.0), Error::<T>::WrongLink);
		let validators = Self::check_row(work, slot, &row)?;

		let entries = row.len() as u32;
		for (page, part) in Self::pages(row) {
			RowPages::<T>::insert((work, page, slot), part);
		}
		Self::advance_chain(validator.index, link);
		attestation.revealed = Some(Revealed { evidence_root, link });
		Attestations::<T>::insert(work, slot, attestation);
		Self::deposit_event(Event::RowRevealed {
			epoch: work,
			validator: who,
			entries,
			evidence_root,
		});
		Ok(validators)
	}

	/// Refuses a row that no honest validator makes. Subjects whose state changed since the commitment are let pass: a
	/// validator must never lose by what others do between its commitment and its reveal.
	fn check_row(work: EpochIndex, slot: Slot, row: &Row) -> Result<u32, DispatchError> {
		let slots = NextSlot::<T>::get();
		let params = Params::<T>::get().assignment();
		let Assignment { seed, keys, .. } = Self::assignment(work);
		let mut before = None;
		for entry in row {
			ensure!(before != Some(entry.member), Error::<T>::DuplicateEntry);
			ensure!(
				before.is_none_or(|before| before < entry.member),
				Error::<T>::RowNotSorted
			);
			before = Some(entry.member);
			ensure!(entry.member < slots, Error::<T>::UnknownSubject);
			let Some(subject) = Subjects::<T>::get(entry.member) else {
				continue;
			};
			ensure!(subject.role != VALIDATOR, Error::<T>::NotAttestable);
			ensure!(
				subject.role != COMPUTE || entry.units <= entry.capacity,
				Error::<T>::UnitsAboveCapacity
			);
			let key = Self::rank_key(&subject.account, subject.generation);
			let mine = assignment::is_assigned(&params, &seed, &key, &keys, usize::from(slot));
			ensure!(mine, Error::<T>::NotAssigned);
		}
		Ok(keys.len() as u32)
	}

	fn pages(row: Row) -> BTreeMap<u32, RowPage> {
		let mut pages: BTreeMap<u32, RowPage> = BTreeMap::new();
		for entry in row {
			// Entries are distinct, so no page has more of them than members.
			let _ = pages.entry(entry.member / PAGE).or_default().try_push(entry);
		}
		pages
	}

	/// The index of the running epoch, in a phase.
	pub(crate) fn in_phase(phase: Phase) -> Result<EpochIndex, DispatchError> {
		let epoch = CurrentEpoch::<T>::get();
		ensure!(epoch.phase == phase, Error::<T>::WrongPhase);
		Ok(epoch.index)
	}
}
