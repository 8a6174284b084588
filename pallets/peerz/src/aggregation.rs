//! What the rows add up to: medians, points of subjects, and the accuracy of validators.

use crate::{
	attestations::Assignment,
	pallet::{
		Attestations, Config, CurrentBooks, Earnings, EpochValidators, Event, Pallet, Params, Plants, RowPages,
		Subjects,
	},
	params::Parameters,
	types::{
		Books, Earning, Entry, EpochIndex, RoleKind, RowPage, Slot, Subject, SubjectIndex, PAGE, VALIDATOR,
		VALIDATOR_PAGE,
	},
};
use alloc::vec::Vec;
use peerz_consensus::{
	accuracy::{accuracy, pay_weight, Measured},
	assignment,
	median::{capped_median, quorum_met},
	units::{bond_cap, rewarded},
	PPM,
};

/// Half of the assigned stake must have spoken.
const QUORUM: u16 = 5_000;

/// The medians about a subject.
#[derive(Default)]
struct Medians {
	units: u128,
	capacity: u128,
	faults: u128,
}

impl<T: Config> Pallet<T> {
	/// Aggregates the rows about a page of subjects.
	pub(crate) fn aggregate(work: EpochIndex, page: u32) {
		let params = Params::<T>::get();
		let assignment = Self::assignment(work);
		let mut books = CurrentBooks::<T>::get();
		let planted: Vec<SubjectIndex> = Plants::<T>::get(work).iter().filter_map(|plant| plant.index).collect();
		let rows = Self::take_rows(work, page, assignment.validators.len());
		let first = page.saturating_mul(PAGE);
		for index in first..first.saturating_add(PAGE) {
			let Some(mut subject) = Subjects::<T>::get(index) else {
				continue;
			};
			if subject.role == VALIDATOR || !Self::counts_in(&subject, work) {
				continue;
			}
			let key = Self::rank_key(&subject.account, subject.generation);
			let slots = assignment::assigned(&params.assignment(), &assignment.seed, &key, &assignment.keys);
			if planted.contains(&index) {
				Self::count_plant(&mut books, &rows, &slots, index);
				continue;
			}
			let Some(medians) = Self::medians(&params, &assignment, &rows, &slots, index) else {
				continue;
			};
			Self::measure(&mut books, &rows, &slots, index, medians.units);
			Self::pay_subject(work, &params, &mut books, index, &mut subject, &medians);
		}
		CurrentBooks::<T>::put(books);
	}

	/// The pages of all rows, by slot. They are needed no more.
	fn take_rows(work: EpochIndex, page: u32, validators: usize) -> Vec<Option<RowPage>> {
		(0..validators)
			.map(|slot| RowPages::<T>::take((work, page, slot as Slot)))
			.collect()
	}

	fn entry_of(rows: &[Option<RowPage>], slot: usize, index: SubjectIndex) -> Option<Entry> {
		let row = rows.get(slot)?.as_ref()?;
		let position = row.binary_search_by_key(&index, |entry| entry.member).ok()?;
		row.get(position).copied()
	}

	/// The stake-weighted medians about a subject, if enough of the assigned stake has spoken.
	fn medians(
		params: &Parameters,
		assignment: &Assignment<T::AccountId>,
		rows: &[Option<RowPage>],
		slots: &[usize],
		index: SubjectIndex,
	) -> Option<Medians> {
		let stake = |slot: usize| assignment.validators.get(slot).map_or(0, |validator| validator.stake);
		let said: Vec<(Entry, u128)> = slots
			.iter()
			.filter_map(|slot| Some((Self::entry_of(rows, *slot, index)?, stake(*slot))))
			.collect();
		let sum = |stakes: &mut dyn Iterator<Item = u128>| stakes.fold(0u128, |sum, stake| sum.saturating_add(stake));
		let counted = sum(&mut said.iter().map(|(_, stake)| *stake));
		let eligible = sum(&mut slots.iter().map(|slot| stake(*slot)));
		if !quorum_met(counted, eligible, QUORUM) {
			return None;
		}
		let median = |of: fn(&Entry) -> u128| {
			let votes: Vec<(u128, u128)> = said.iter().map(|(entry, stake)| (of(entry), *stake)).collect();
			capped_median(&votes, params.validator_cap).unwrap_or(0)
		};
		Some(Medians {
			units: median(|entry| entry.units.into()),
			capacity: median(|entry| entry.capacity.into()),
			faults: median(|entry| entry.faults.into()),
		})
	}

	/// Adds the distance of every assigned validator that revealed. Leaving a subject out counts as reporting zero.
	fn measure(books: &mut Books, rows: &[Option<RowPage>], slots: &[usize], index: SubjectIndex, median: u128) {
		for slot in slots {
			let units = Self::entry_of(rows, *slot, index).map_or(0, |entry| entry.units.into());
			if let Some(measurement) = books.measurements.get_mut(*slot) {
				measurement.distance = measurement.distance.saturating_add(median.abs_diff(units));
				measurement.medians = measurement.medians.saturating_add(median);
			}
		}
	}

	/// Counts who saw a planted fault.
	fn count_plant(books: &mut Books, rows: &[Option<RowPage>], slots: &[usize], index: SubjectIndex) {
		for slot in slots {
			let seen = Self::entry_of(rows, *slot, index).is_some_and(|entry| entry.faults > 0);
			if let Some(measurement) = books.measurements.get_mut(*slot) {
				measurement.planted = measurement.planted.saturating_add(1);
				measurement.missed = measurement.missed.saturating_add(u32::from(!seen));
			}
		}
	}

	fn pay_subject(
		work: EpochIndex,
		params: &Parameters,
		books: &mut Books,
		index: SubjectIndex,
		subject: &mut Subject<T::AccountId>,
		medians: &Medians,
	) {
		let Ok(role) = Self::role(subject.role) else { return };
		let bond = Self::active_bond(&subject.account, subject.role);
		let (points, withheld) = if role.kind == RoleKind::Compute {
			let cap = bond_cap(&params.pay_caps(), bond, medians.capacity, subject.clean_epochs);
			let points = rewarded(medians.units, cap, medians.capacity, PPM);
			(points, bond < role.terms.min_bond)
		} else if bond >= role.terms.min_bond {
			(medians.units, false)
		} else {
			(0, false)
		};
		if let Some(tally) = books.tallies.get_mut(usize::from(subject.role)) {
			tally.points = tally.points.saturating_add(points);
			tally.served = tally.served.saturating_add(medians.units);
			tally.capacity = tally.capacity.saturating_add(medians.capacity);
		}
		let clean = match (medians.faults, points) {
			(0, 0) => subject.clean_epochs,
			(0, _) => subject.clean_epochs.saturating_add(1),
			_ => 0,
		};
		if clean != subject.clean_epochs {
			subject.clean_epochs = clean;
			Subjects::<T>::insert(index, &*subject);
		}
		if points > 0 {
			let wait = if withheld { params.withheld_epochs } else { 0 };
			Self::earn(work, index, subject, points, wait, withheld);
		}
	}

	fn earn(
		work: EpochIndex,
		index: SubjectIndex,
		subject: &Subject<T::AccountId>,
		points: u128,
		wait: u32,
		withheld: bool,
	) {
		Earnings::<T>::insert(
			work,
			index,
			Earning {
				account: subject.account.clone(),
				role: subject.role,
				generation: subject.generation,
				points,
				payable: work.saturating_add(1).saturating_add(wait),
				withheld,
				claimed: false,
			},
		);
		Self::deposit_event(Event::Earned {
			epoch: work,
			index,
			points,
		});
	}

	/// Pays a page of validators by stake and accuracy, and accuses those that hid a row; whether there are more.
	pub(crate) fn pay_validators(work: EpochIndex, page: u32) -> bool {
		let params = Params::<T>::get();
		let validators = EpochValidators::<T>::get(work);
		let mut books = CurrentBooks::<T>::get();
		let first = page.saturating_mul(VALIDATOR_PAGE) as usize;
		let here = validators.iter().enumerate().skip(first).take(VALIDATOR_PAGE as usize);
		for (slot, validator) in here {
			let Some(measurement) = books.measurements.get(slot).copied() else {
				continue;
			};
			// Also those who earn nothing are in the sum: nobody gains by the misfortune of another.
			if let Some(tally) = books.tallies.get_mut(usize::from(VALIDATOR)) {
				tally.points = tally.points.saturating_add(validator.stake);
			}
			if !measurement.revealed {
				if Attestations::<T>::contains_key(work, slot as Slot) {
					Self::accuse_hidden_row(work, validator);
				}
				continue;
			}
			let subject =
				Subjects::<T>::get(validator.index).filter(|subject| subject.generation == validator.generation);
			let Some(subject) = subject else { continue };
			let measured = Measured {
				reported: Some(measurement.medians.saturating_add(measurement.distance)),
				median: measurement.medians,
			};
			let accuracy = accuracy(&[measured], params.tolerance, measurement.planted, measurement.missed);
			Self::deposit_event(Event::ValidatorMeasured {
				epoch: work,
				index: validator.index,
				deviation: accuracy.deviation,
				score: accuracy.score,
			});
			let points = pay_weight(validator.stake, accuracy.score);
			if points > 0 {
				Self::earn(work, validator.index, &subject, points, 0, false);
			}
		}
		CurrentBooks::<T>::put(books);
		first.saturating_add(VALIDATOR_PAGE as usize) < validators.len()
	}
}
