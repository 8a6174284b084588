use crate::{mock::*, types::*, Attestations, Earnings, Error, Event, Plants, RowPages, Subjects, WorkRoots, PRZ};
use frame_support::{assert_noop, assert_ok};
use sp_core::H256;
use sp_runtime::DispatchError;

/// Three validators and a bonded provider, in the commit phase about epoch 2.
fn scene() -> SubjectIndex {
	three_validators();
	let index = provider(9);
	assert_ok!(Peerz::bond(signed(9), COMPUTE, 200 * PRZ));
	to_epoch(3);
	index
}

fn commit(n: u8, entries: &[Entry]) -> frame_support::dispatch::DispatchResult {
	Peerz::commit(signed(n), commitment(n, entries))
		.map(|_| ())
		.map_err(|error| error.error)
}

#[test]
fn a_validator_commits_once_and_in_time() {
	run(|| {
		let index = scene();
		assert_ok!(commit(1, &[entry(index, 5)]));
		System::assert_last_event(
			Event::RowCommitted {
				epoch: 2,
				validator: account(1),
			}
			.into(),
		);
		assert_noop!(commit(1, &[]), Error::<Test>::AlreadyCommitted);
		assert_noop!(commit(9, &[]), Error::<Test>::NotAValidator);
		to_phase(Phase::Reveal);
		assert_noop!(commit(2, &[]), Error::<Test>::WrongPhase);
	});
}

#[test]
fn a_row_is_revealed_once_and_in_time() {
	run(|| {
		let row = [entry(scene(), 5)];
		assert_ok!(commit(1, &row));
		assert_noop!(reveal(1, &row), Error::<Test>::WrongPhase);
		to_phase(Phase::Reveal);
		assert_noop!(reveal(2, &row), Error::<Test>::NotCommitted);
		assert_ok!(reveal(1, &row));
		assert_noop!(reveal(1, &row), Error::<Test>::AlreadyRevealed);
		assert!(RowPages::<Test>::contains_key((2, 0, 0)));
		to_phase(Phase::Open);
		assert_noop!(reveal(1, &row), Error::<Test>::WrongPhase);
	});
}

#[test]
fn a_reveal_is_what_was_committed() {
	run(|| {
		let index = scene();
		assert_ok!(commit(1, &[entry(index, 5)]));
		to_phase(Phase::Reveal);
		assert_noop!(reveal(1, &[entry(index, 6)]), Error::<Test>::CommitmentMismatch);
		let other_salt = Peerz::reveal(signed(1), row(&[entry(index, 5)]), EVIDENCE, H256::zero(), link(1, 1));
		assert_noop!(other_salt, Error::<Test>::CommitmentMismatch);
	});
}

#[test]
fn a_link_is_the_next_one() {
	run(|| {
		scene();
		assert_ok!(commit(1, &[]));
		to_phase(Phase::Reveal);
		let with = |link| Peerz::reveal(signed(1), row(&[]), EVIDENCE, SALT, link);
		assert_noop!(with(link(1, 2)), Error::<Test>::WrongLink);
		assert_noop!(with(link(2, 1)), Error::<Test>::WrongLink);
		assert_ok!(with(link(1, 1)));
	});
}

#[test]
fn a_link_is_shown_once() {
	run(|| {
		scene();
		agree(&[]);
		to_epoch(4);
		assert_ok!(commit(1, &[]));
		to_phase(Phase::Reveal);
		let with = |link| Peerz::reveal(signed(1), row(&[]), EVIDENCE, SALT, link);
		assert_noop!(with(link(1, 1)), Error::<Test>::WrongLink);
		assert_ok!(with(link(1, 2)));
	});
}

#[test]
fn rows_are_sorted_and_possible() {
	run(|| {
		let index = scene();
		let [validator, ..] = [0, 1, 2];
		let second = provider(10);
		let bad: [(Vec<Entry>, Error<Test>); 5] = [
			(vec![entry(second, 1), entry(index, 1)], Error::RowNotSorted),
			(vec![entry(index, 1), entry(index, 1)], Error::DuplicateEntry),
			(vec![entry(999, 1)], Error::UnknownSubject),
			(vec![entry(validator, 1)], Error::NotAttestable),
			(
				vec![Entry {
					member: index,
					units: 2,
					capacity: 1,
					faults: 0,
				}],
				Error::UnitsAboveCapacity,
			),
		];
		for (entries, error) in bad {
			let slot = Attestations::<Test>::iter_prefix(2).count();
			assert_eq!(slot, 0);
			assert_ok!(commit(1, &entries));
			crate::CurrentEpoch::<Test>::mutate(|epoch| epoch.phase = Phase::Reveal);
			assert_noop!(reveal(1, &entries), error);
			crate::CurrentEpoch::<Test>::mutate(|epoch| epoch.phase = Phase::Commit);
			Attestations::<Test>::remove(2, 0);
		}
	});
}

#[test]
fn a_row_names_assigned_subjects_only() {
	run(|| {
		with_parameters(|p| {
			p.assign_all_up_to = 0;
			p.assigned = 1;
		});
		let index = scene();
		let assigned = Peerz::validators_of(2, index);
		assert_eq!(assigned.len(), 1);
		for n in [1, 2, 3] {
			assert_ok!(commit(n, &[entry(index, 5)]));
		}
		to_phase(Phase::Reveal);
		for n in [1, 2, 3] {
			let result = reveal(n, &[entry(index, 5)]);
			if assigned.contains(&account(n)) {
				assert_ok!(result);
				assert_eq!(Peerz::subjects_attested_by(2, &account(n)), [index]);
			} else {
				assert_eq!(result, Err(Error::<Test>::NotAssigned.into()));
			}
		}
	});
}

#[test]
fn units_are_the_median() {
	run(|| {
		let index = scene();
		attest(&[
			(1, vec![entry(index, 1_000)]),
			(2, vec![entry(index, 1_010)]),
			(3, vec![entry(index, 9_000)]),
		]);
		assert_eq!(Earnings::<Test>::get(2, index).unwrap().points, 1_010);
	});
}

#[test]
fn without_half_of_the_stake_nothing_is_known() {
	run(|| {
		let index = scene();
		attest(&[(1, vec![entry(index, 1_000)]), (2, vec![])]);
		assert!(Earnings::<Test>::get(2, index).is_none());
	});
}

#[test]
fn paid_units_are_capped_by_bond_and_capacity() {
	run(|| {
		with_parameters(|p| {
			p.bond_per_unit = PRZ;
			p.bondless_start = 1_000;
		});
		let index = scene();
		// 200 by bond, and a tenth of the capacity of 2,000.
		agree(&[entry(index, 1_000)]);
		assert_eq!(Earnings::<Test>::get(2, index).unwrap().points, 400);
	});
}

#[test]
fn a_bondless_provider_is_paid_little_and_late_and_grows() {
	run(|| {
		three_validators();
		let index = provider(9);
		to_epoch(3);
		agree(&[entry(index, 1_000)]);
		let earning = Earnings::<Test>::get(2, index).unwrap();
		// 5 % of 2,000.
		assert_eq!((earning.points, earning.payable, earning.withheld), (100, 4, true));
		assert_noop!(Peerz::claim(signed(9), 2, index), Error::<Test>::StillWithheld);
		to_epoch(4);
		assert_ok!(Peerz::claim(signed(9), 2, index));
		agree(&[entry(index, 1_000)]);
		assert_eq!(Earnings::<Test>::get(3, index).unwrap().points, 110);
		assert_eq!(Subjects::<Test>::get(index).unwrap().clean_epochs, 2);
	});
}

#[test]
fn a_fault_ends_the_clean_epochs() {
	run(|| {
		let index = scene();
		agree(&[entry(index, 1_000)]);
		to_epoch(4);
		agree(&[Entry {
			faults: 1,
			..entry(index, 1_000)
		}]);
		assert_eq!(Subjects::<Test>::get(index).unwrap().clean_epochs, 0);
	});
}

#[test]
fn work_of_the_epoch_of_registration_does_not_count() {
	run(|| {
		three_validators();
		to_epoch(2);
		let index = provider(9);
		to_epoch(3);
		agree(&[entry(index, 1_000)]);
		assert!(Earnings::<Test>::get(2, index).is_none());
		to_epoch(4);
		agree(&[entry(index, 1_000)]);
		assert!(Earnings::<Test>::get(3, index).is_some());
	});
}

#[test]
fn work_of_the_last_epoch_counts() {
	run(|| {
		let index = scene();
		assert_ok!(Peerz::leave(signed(9), index));
		to_epoch(4);
		agree(&[entry(index, 1_000)]);
		assert!(Earnings::<Test>::get(3, index).is_some());
		to_epoch(5);
		agree(&[entry(index, 1_000)]);
		assert!(Earnings::<Test>::get(4, index).is_none());
	});
}

#[test]
fn leaving_a_subject_out_costs_as_much_as_reporting_nothing() {
	run(|| {
		let index = scene();
		attest(&[
			(1, vec![entry(index, 1_000)]),
			(2, vec![entry(index, 1_000)]),
			(3, vec![]),
		]);
		let third = crate::SlotOf::<Test>::get(account(3), VALIDATOR).unwrap();
		assert!(Earnings::<Test>::get(2, third).is_none());
	});
}

#[test]
fn distance_costs_on_both_sides_alike() {
	run(|| {
		let index = scene();
		attest(&[
			(1, vec![entry(index, 1_000)]),
			(2, vec![entry(index, 1_050)]),
			(3, vec![entry(index, 1_100)]),
		]);
		let points = |n| {
			let index = crate::SlotOf::<Test>::get(account(n), VALIDATOR).unwrap();
			Earnings::<Test>::get(2, index).unwrap().points
		};
		assert_eq!(points(2), 1_000 * PRZ);
		assert_eq!(points(1), points(3));
		assert!(points(1) < points(2));
	});
}

#[test]
fn a_planted_fault_shows_who_looks() {
	run(|| {
		let index = {
			three_validators();
			let index = provider(9);
			to_epoch(2);
			index
		};
		let salt = H256::repeat_byte(3);
		let commitment = Peerz::plant_hash(2, index, salt);
		assert_noop!(Peerz::plant_fault(signed(1), commitment), DispatchError::BadOrigin);
		assert_ok!(Peerz::plant_fault(RuntimeOrigin::root(), commitment));
		assert_noop!(
			Peerz::plant_fault(RuntimeOrigin::root(), commitment),
			Error::<Test>::AlreadyPosted
		);
		to_epoch(3);
		let seen = vec![Entry {
			faults: 1,
			..entry(index, 10)
		}];
		let blind = vec![entry(index, 10)];
		let rows = [(1, seen.clone()), (2, seen), (3, blind)];
		for (n, entries) in &rows {
			assert_ok!(Peerz::commit(signed(*n), crate::mock::commitment(*n, entries)));
		}
		assert_noop!(Peerz::show_plant(signed(50), index, salt), Error::<Test>::WrongPhase);
		to_phase(Phase::Reveal);
		assert_noop!(Peerz::show_plant(signed(50), index, SALT), Error::<Test>::UnknownPlant);
		assert_ok!(Peerz::show_plant(signed(50), index, salt));
		for (n, entries) in &rows {
			assert_ok!(reveal(*n, entries));
		}
		to_phase(Phase::Open);
		let third = crate::SlotOf::<Test>::get(account(3), VALIDATOR).unwrap();
		assert!(Earnings::<Test>::get(2, third).is_none());
		assert!(Earnings::<Test>::get(2, index).is_none());
		assert!(Plants::<Test>::get(2)[0].index.is_some());
	});
}

#[test]
fn sixteen_faults_are_planted_at_most() {
	run(|| {
		for n in 0..16 {
			assert_ok!(Peerz::plant_fault(RuntimeOrigin::root(), H256::repeat_byte(n)));
		}
		assert_noop!(
			Peerz::plant_fault(RuntimeOrigin::root(), H256::repeat_byte(16)),
			Error::<Test>::TooManyPlants
		);
	});
}

#[test]
fn a_work_root_is_posted_once_before_the_seed_is_known() {
	run(|| {
		let index = scene();
		let root = H256::repeat_byte(1);
		let post = |n, root, sessions| Peerz::submit_work_root(signed(n), root, sessions);
		assert_noop!(post(9, H256::zero(), 1), Error::<Test>::BadWorkRoot);
		assert_noop!(post(9, root, 0), Error::<Test>::BadWorkRoot);
		assert_noop!(post(8, root, 1), Error::<Test>::UnknownSubject);
		assert_ok!(post(9, root, 3));
		assert_eq!(
			WorkRoots::<Test>::get(3, index),
			Some(WorkRoot {
				generation: 0,
				root,
				sessions: 3
			})
		);
		assert_noop!(post(9, root, 3), Error::<Test>::AlreadyPosted);
		to_phase(Phase::Reveal);
		assert_noop!(post(9, root, 3), Error::<Test>::WrongPhase);
	});
}

#[test]
fn models_and_members_earn_by_attested_units() {
	run(|| {
		three_validators();
		let (model, developer) = (model(7, 1), member(8, DEVELOPER));
		to_epoch(3);
		agree(&[entry(model, 500), entry(developer, 70)]);
		assert_eq!(Earnings::<Test>::get(2, model).unwrap().points, 500);
		assert_eq!(Earnings::<Test>::get(2, developer).unwrap().points, 70);
	});
}

#[test]
fn rows_over_several_pages_are_aggregated() {
	run(|| {
		with_parameters(|p| p.model_deposit = PRZ);
		three_validators();
		let models: Vec<_> = (0..8)
			.flat_map(|owner| (1..=16).map(move |root| model(10 + owner, 16 * owner + root)))
			.collect();
		to_epoch(3);
		let row: Vec<_> = models.iter().map(|index| entry(*index, 10)).collect();
		agree(&row);
		assert!(models.iter().all(|index| Earnings::<Test>::contains_key(2, index)));
	});
}
