use crate::{mock::*, types::*, Carried, Error, Event, Obligations, Pools, ScarcityOf, PRZ};
use frame_support::{assert_noop, assert_ok};

const EMISSION: u128 = 10_000 * PRZ;

/// Three validators, a bonded provider and a developer, in the commit phase about epoch 2.
fn scene() -> (SubjectIndex, SubjectIndex) {
	three_validators();
	let provider = provider(9);
	assert_ok!(Peerz::bond(signed(9), COMPUTE, 200 * PRZ));
	let developer = member(8, DEVELOPER);
	to_epoch(3);
	(provider, developer)
}

#[test]
fn an_epoch_pays_by_weights_and_points() {
	run(|| {
		let (provider, developer) = scene();
		let issuance = Balances::total_issuance();
		let carried: u128 = Carried::<Test>::get(DEVELOPER);
		agree(&[entry(provider, 100), entry(developer, 7)]);
		assert_eq!(Balances::total_issuance(), issuance + EMISSION);
		// The epoch before had no points, so its pool was carried.
		let pool = Pools::<Test>::get(2, COMPUTE).unwrap();
		assert_eq!((pool.total, pool.points), (2 * EMISSION * 6 / 10, 100));
		let before = free(8);
		assert_ok!(Peerz::claim(signed(8), 2, developer));
		assert_eq!(free(8), before + carried + EMISSION / 10);
	});
}

#[test]
fn validators_share_by_stake_and_what_one_loses_nobody_gains() {
	run(|| {
		let (provider, _) = scene();
		let carried = Carried::<Test>::get(VALIDATOR);
		attest(&[(1, vec![entry(provider, 100)]), (2, vec![entry(provider, 100)])]);
		let first = crate::SlotOf::<Test>::get(account(1), VALIDATOR).unwrap();
		let before = free(1);
		assert_ok!(Peerz::claim(signed(1), 2, first));
		assert_eq!(free(1) - before, (carried + EMISSION / 5) / 3);
	});
}

#[test]
fn a_claim_is_made_once_by_its_owner_after_the_end() {
	run(|| {
		let (provider, _) = scene();
		assert_noop!(Peerz::claim(signed(9), 2, provider), Error::<Test>::NothingToClaim);
		agree(&[entry(provider, 100)]);
		assert_noop!(Peerz::claim(signed(8), 2, provider), Error::<Test>::NotOwner);
		let expected = Peerz::pending_rewards(&account(9));
		assert_ok!(Peerz::claim(signed(9), 2, provider));
		let amount = expected[0].amount;
		System::assert_last_event(
			Event::Claimed {
				epoch: 2,
				index: provider,
				account: account(9),
				role: COMPUTE,
				amount,
			}
			.into(),
		);
		assert_noop!(Peerz::claim(signed(9), 2, provider), Error::<Test>::AlreadyClaimed);
		assert!(Peerz::pending_rewards(&account(9)).is_empty());
	});
}

#[test]
fn nothing_is_paid_before_the_pools_are_open() {
	run(|| {
		let (provider, _) = scene();
		for n in [1, 2, 3] {
			let row = [entry(provider, 100)];
			assert_ok!(Peerz::commit(signed(n), commitment(n, &row)));
		}
		to_phase(Phase::Reveal);
		for n in [1, 2, 3] {
			assert_ok!(reveal(n, &[entry(provider, 100)]));
		}
		to_phase(Phase::Finalise);
		while crate::NextStep::<Test>::get() != Step::Close {
			assert_ok!(Peerz::finalise(signed(60)));
		}
		assert_noop!(Peerz::claim(signed(9), 2, provider), Error::<Test>::WrongPhase);
	});
}

#[test]
fn unclaimed_rewards_go_to_the_treasury() {
	run(|| {
		let (provider, _) = scene();
		agree(&[entry(provider, 100)]);
		let unclaimed: u128 = Pools::<Test>::iter_prefix_values(2)
			.map(|pool| pool.total - pool.claimed)
			.sum();
		let before = Balances::free_balance(Peerz::treasury());
		to_epoch(9);
		to_phase(Phase::Finalise);
		while !matches!(crate::NextStep::<Test>::get(), Step::Review) {
			assert_ok!(Peerz::finalise(signed(60)));
		}
		assert_eq!(Balances::free_balance(Peerz::treasury()), before + unclaimed);
		let phase = crate::CurrentEpoch::<Test>::get();
		crate::CurrentEpoch::<Test>::put(Epoch {
			phase: Phase::Open,
			..phase
		});
		assert_noop!(Peerz::claim(signed(9), 2, provider), Error::<Test>::ClaimExpired);
		crate::CurrentEpoch::<Test>::put(phase);
		finalise();
		assert_noop!(Peerz::claim(signed(9), 2, provider), Error::<Test>::NothingToClaim);
	});
}

#[test]
fn a_reward_outlives_its_subject() {
	run(|| {
		MaxSubjects::set(8);
		MaxValidators::set(3);
		HistoryDepth::set(20);
		let (provider, _) = scene();
		agree(&[entry(provider, 100)]);
		assert_ok!(Peerz::leave(signed(9), provider));
		to_epoch(9);
		assert_ok!(Peerz::release(signed(9), provider));
		assert_eq!(crate::mock::provider(10), provider);
		assert_noop!(Peerz::claim(signed(10), 2, provider), Error::<Test>::NotOwner);
		assert_ok!(Peerz::claim(signed(9), 2, provider));
	});
}

#[test]
fn emission_is_halved_and_ends_at_the_cap() {
	run(|| {
		let start = Balances::total_issuance();
		with_parameters(|p| {
			p.halving_epochs = 2;
			p.emission = 1_000;
			p.max_supply = start + 2_700;
		});
		let mut minted = Vec::new();
		for epoch in 2..=6 {
			let before = Balances::total_issuance();
			to_epoch(epoch);
			to_phase(Phase::Open);
			minted.push(Balances::total_issuance() - before);
		}
		assert_eq!(minted, [1_000, 1_000, 500, 200, 0]);
	});
}

#[test]
fn what_is_given_to_the_pot_is_spent_before_anything_is_minted() {
	run(|| {
		assert_ok!(Balances::transfer_allow_death(signed(50), Peerz::pot(), EMISSION / 2));
		let before = Balances::total_issuance();
		to_epoch(2);
		to_phase(Phase::Open);
		assert_eq!(Balances::total_issuance(), before + EMISSION / 2);
		assert_eq!(Obligations::<Test>::get(), EMISSION);
	});
}

#[test]
fn scarce_work_weighs_more() {
	run(|| {
		let (provider, _) = scene();
		let before = Peerz::role_weights()[0].effective;
		// All of the capacity is used; the target is half of it.
		agree(&[Entry {
			capacity: 100,
			..entry(provider, 100)
		}]);
		assert!(ScarcityOf::<Test>::get(COMPUTE) > PPM);
		let roles = Peerz::role_weights();
		assert!(roles[0].effective > before);
		assert_eq!(roles.iter().map(|role| role.effective).sum::<u32>(), PPM);
	});
}

#[test]
fn a_role_that_is_off_keeps_no_rewards_for_ever() {
	run(|| {
		to_epoch(3);
		let carried = Carried::<Test>::get(DEVELOPER);
		assert!(carried > 0);
		let terms = RoleTerms {
			enabled: false,
			..crate::Roles::<Test>::get(DEVELOPER).unwrap().terms
		};
		assert_ok!(Peerz::change_role(RuntimeOrigin::root(), DEVELOPER, terms));
		to_phase(Phase::Open);
		assert_eq!(Carried::<Test>::get(DEVELOPER), 0);
		// The pot spends what it got back before anything is minted.
		let before = Balances::total_issuance();
		to_epoch(4);
		to_phase(Phase::Open);
		assert_eq!(Balances::total_issuance() - before, EMISSION - carried - EMISSION / 10);
	});
}
