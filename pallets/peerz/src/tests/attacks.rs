//! What somebody will try, and the error that stops it.

use crate::{mock::*, types::*, Error, PRZ};
use codec::Encode;
use frame_support::{assert_noop, assert_ok};
use sp_core::H256;

fn scene() -> SubjectIndex {
	three_validators();
	let index = provider(9);
	assert_ok!(Peerz::bond(signed(9), COMPUTE, 200 * PRZ));
	to_epoch(3);
	index
}

#[test]
fn the_commitment_of_another_is_worthless() {
	run(|| {
		let row = [entry(scene(), 5)];
		let stolen = commitment(1, &row);
		assert_ok!(Peerz::commit(signed(1), stolen));
		assert_ok!(Peerz::commit(signed(2), stolen));
		to_phase(Phase::Reveal);
		assert_ok!(reveal(1, &row));
		assert_noop!(reveal(2, &row), Error::<Test>::CommitmentMismatch);
	});
}

#[test]
fn the_commitment_of_another_chain_or_epoch_is_worthless() {
	run(|| {
		scene();
		let other_chain = (
			peerz_consensus::commit::DOMAIN,
			[1u8; 32],
			2u32,
			account(1),
			(row(&[]), EVIDENCE),
			SALT,
		);
		let other_chain = H256(sp_io::hashing::blake2_256(&other_chain.encode()));
		let last_epoch = commitment(2, &[]);
		assert_ok!(Peerz::commit(signed(1), other_chain));
		to_phase(Phase::Reveal);
		assert_noop!(reveal(1, &[]), Error::<Test>::CommitmentMismatch);
		to_epoch(4);
		assert_ok!(Peerz::commit(signed(2), last_epoch));
		to_phase(Phase::Reveal);
		assert_noop!(reveal(2, &[]), Error::<Test>::CommitmentMismatch);
	});
}

#[test]
fn a_slot_brings_no_history_to_its_next_holder() {
	run(|| {
		let index = scene();
		agree(&[entry(index, 1_000)]);
		assert_ok!(Peerz::leave(signed(9), index));
		to_epoch(9);
		assert_ok!(Peerz::release(signed(9), index));
		assert_eq!(provider(10), index);
		// Rows about the old holder's epochs do not pay the new one.
		agree(&[entry(index, 1_000)]);
		assert!(crate::Earnings::<Test>::get(8, index).is_none());
		let subject = crate::Subjects::<Test>::get(index).unwrap();
		assert_eq!((subject.generation, subject.clean_epochs), (1, 0));
	});
}

#[test]
fn a_state_change_of_another_never_hides_an_honest_row() {
	run(|| {
		let index = scene();
		let row = [entry(index, 1_000)];
		for n in [1, 2, 3] {
			assert_ok!(Peerz::commit(signed(n), commitment(n, &row)));
		}
		assert_ok!(Peerz::leave(signed(9), index));
		crate::Subjects::<Test>::mutate(index, |subject| {
			if let Some(subject) = subject {
				subject.jailed_until = 99;
			}
		});
		to_phase(Phase::Reveal);
		for n in [1, 2, 3] {
			assert_ok!(reveal(n, &row));
		}
		to_phase(Phase::Open);
		assert!(crate::Earnings::<Test>::get(2, index).is_none());
	});
}

#[test]
fn splitting_a_bondless_device_gains_nothing() {
	run(|| {
		three_validators();
		let whole = provider(9);
		let halves = [provider(10), provider(11)];
		to_epoch(3);
		let of = |index, capacity| Entry {
			member: index,
			units: capacity,
			capacity,
			faults: 0,
		};
		agree(&[of(whole, 10_000), of(halves[0], 5_000), of(halves[1], 5_000)]);
		let points = |index| crate::Earnings::<Test>::get(2, index).unwrap().points;
		assert!(points(halves[0]) + points(halves[1]) <= points(whole));
	});
}

#[test]
fn a_minority_of_the_stake_moves_no_median() {
	run(|| {
		let index = scene();
		validator(4, 900 * PRZ + 100 * PRZ);
		validator(5, 1_000 * PRZ);
		to_epoch(5);
		let lie = |units| vec![entry(index, units)];
		attest(&[
			(1, lie(1_000)),
			(2, lie(1_000)),
			(3, lie(1_000)),
			(4, lie(900_000)),
			(5, lie(900_000)),
		]);
		assert_eq!(crate::Earnings::<Test>::get(4, index).unwrap().points, 1_000);
	});
}

#[test]
fn registering_dust_costs_a_deposit_that_stays_for_the_dispute_window() {
	run(|| {
		let before = free(9);
		let index = provider(9);
		assert!(before - free(9) >= 2 * PRZ / 10);
		assert_ok!(Peerz::leave(signed(9), index));
		assert_noop!(Peerz::release(signed(9), index), Error::<Test>::TooEarly);
	});
}
