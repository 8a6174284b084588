use crate::{
	mock::*, types::*, Attestations, CurrentEpoch, Earnings, EpochValidators, Error, Event, Seeds, WorkRoots, PRZ,
};
use frame_support::{
	assert_ok,
	dispatch::{GetDispatchInfo, Pays},
	traits::Hooks,
	weights::Weight,
};
use sp_core::H256;

#[test]
fn an_epoch_goes_through_its_phases() {
	run(|| {
		let phase = || CurrentEpoch::<Test>::get().phase;
		while System::block_number() < 4 {
			assert_eq!(phase(), Phase::Commit);
			next_block();
		}
		while System::block_number() < 8 {
			assert_eq!(phase(), Phase::Reveal);
			next_block();
		}
		assert_eq!(phase(), Phase::Finalise);
		finalise();
		while System::block_number() < 20 {
			assert_eq!(phase(), Phase::Open);
			next_block();
		}
		let epoch = CurrentEpoch::<Test>::get();
		assert_eq!((epoch.index, epoch.phase, epoch.started), (2, Phase::Commit, 20));
	});
}

#[test]
fn an_epoch_waits_for_its_last_step() {
	run(|| {
		to_phase(Phase::Finalise);
		for _ in 0..100 {
			next_block();
		}
		assert_eq!(CurrentEpoch::<Test>::get().phase, Phase::Finalise);
		finalise();
		assert_eq!(CurrentEpoch::<Test>::get().phase, Phase::Open);
		next_block();
		assert_eq!(now(), 2);
	});
}

#[test]
fn new_lengths_count_from_the_next_phase() {
	run(|| {
		with_parameters(|p| p.epoch_blocks = 40);
		to_epoch(2);
		assert_eq!(System::block_number(), 40);
	});
}

#[test]
fn finalising_has_its_time_and_costs_nothing() {
	run(|| {
		// Too early or too late: the caller pays for looking, not for a step.
		let call = RuntimeCall::Peerz(crate::Call::finalise {});
		let refused = Peerz::finalise(signed(1)).unwrap_err();
		assert_eq!(refused.error, Error::<Test>::WrongPhase.into());
		let step = call.get_dispatch_info().call_weight;
		assert!(refused.post_info.actual_weight.unwrap().all_lte(step / 10));
		to_phase(Phase::Finalise);
		let result = Peerz::finalise(signed(1)).unwrap();
		assert_eq!(result.pays_fee, Pays::No);
		assert!(result.actual_weight.unwrap().all_lte(step));
	});
}

#[test]
fn idle_blocks_finalise_by_themselves() {
	run(|| {
		to_phase(Phase::Finalise);
		let plenty = Weight::from_parts(u64::MAX, u64::MAX);
		let used = Peerz::on_idle(System::block_number(), plenty);
		assert!(used.all_gt(Weight::zero()));
		assert_eq!(crate::NextStep::<Test>::get(), Step::Subjects(0));
		for _ in 0..10 {
			Peerz::on_idle(System::block_number(), plenty);
		}
		assert_eq!(CurrentEpoch::<Test>::get().phase, Phase::Open);
	});
}

#[test]
fn a_full_block_finalises_nothing() {
	run(|| {
		to_phase(Phase::Finalise);
		let before = crate::NextStep::<Test>::get();
		Peerz::on_idle(System::block_number(), Weight::from_parts(1_000, 1_000));
		assert_eq!(crate::NextStep::<Test>::get(), before);
	});
}

#[test]
fn validators_are_frozen_for_the_epoch_after_their_registration() {
	run(|| {
		three_validators();
		to_epoch(2);
		assert_eq!(EpochValidators::<Test>::get(2).len(), 3);
		// What is bonded later counts later.
		assert_ok!(Peerz::bond(signed(1), VALIDATOR, 500 * PRZ));
		assert_eq!(EpochValidators::<Test>::get(2)[0].stake, 1_000 * PRZ);
		to_epoch(3);
		assert_eq!(EpochValidators::<Test>::get(3)[0].stake, 1_500 * PRZ);
	});
}

#[test]
fn a_validator_that_left_is_frozen_no_more() {
	run(|| {
		let [first, ..] = three_validators();
		to_epoch(2);
		assert_ok!(Peerz::leave(signed(1), first));
		to_epoch(3);
		assert_eq!(EpochValidators::<Test>::get(3).len(), 2);
	});
}

#[test]
fn a_validator_whose_bond_was_slashed_below_the_least_is_frozen_no_more() {
	run(|| {
		three_validators();
		to_epoch(3);
		assert_ok!(Peerz::commit(signed(1), commitment(1, &[])));
		to_epoch(4);
		assert_ok!(Peerz::apply_slash(signed(40), 0));
		to_epoch(5);
		let accounts: Vec<_> = EpochValidators::<Test>::get(5)
			.into_iter()
			.map(|one| one.account)
			.collect();
		assert_eq!(accounts, [account(2), account(3)]);
		assert_ok!(Peerz::bond(signed(1), VALIDATOR, PRZ));
		to_epoch(6);
		assert_eq!(EpochValidators::<Test>::get(6).len(), 3);
	});
}

#[test]
fn the_seed_follows_from_the_links() {
	run(|| {
		three_validators();
		to_epoch(3);
		agree(&[]);
		let reveals: Vec<_> = [1, 2, 3].iter().map(|n| (u32::from(n - 1), link(*n, 1).0)).collect();
		let previous = Seeds::<Test>::get(2).unwrap();
		let expected = peerz_consensus::seed::next_seed(&previous.0, 3, &reveals).unwrap();
		assert_eq!(Seeds::<Test>::get(3).unwrap().0, expected);
	});
}

#[test]
fn every_step_says_that_it_was_done() {
	run(|| {
		provider(9);
		to_phase(Phase::Finalise);
		events();
		finalise();
		let steps: Vec<Step> = events()
			.into_iter()
			.filter_map(|event| match event {
				Event::StepDone { step, .. } => Some(step),
				_ => None,
			})
			.collect();
		let expected = [
			Step::Seal,
			Step::Subjects(0),
			Step::Validators(0),
			Step::Close,
			Step::Review,
			Step::Purge,
			Step::Freeze,
		];
		assert_eq!(steps, expected);
	});
}

#[test]
fn the_past_is_forgotten() {
	run(|| {
		three_validators();
		let index = provider(9);
		assert_ok!(Peerz::bond(signed(9), COMPUTE, 200 * PRZ));
		to_epoch(3);
		agree(&[entry(index, 1_000)]);
		assert!(Earnings::<Test>::contains_key(2, index));
		to_epoch(9);
		to_phase(Phase::Open);
		assert_eq!(Earnings::<Test>::iter_prefix(2).count(), 0);
		assert_eq!(Attestations::<Test>::iter_prefix(2).count(), 0);
		assert!(Seeds::<Test>::get(2).is_none());
	});
}

#[test]
fn every_purging_step_of_a_block_deletes_something() {
	let mut ext = new_test_ext();
	let root = WorkRoot {
		generation: 0,
		root: H256::repeat_byte(1),
		sessions: 1,
	};
	ext.execute_with(|| {
		(0..200).for_each(|index| WorkRoots::<Test>::insert(1, index, root));
		let epoch = CurrentEpoch::<Test>::get();
		CurrentEpoch::<Test>::put(Epoch {
			index: HistoryDepth::get() + 2,
			phase: Phase::Finalise,
			..epoch
		});
		crate::NextStep::<Test>::put(Step::Purge);
	});
	// As on a chain: the keys are in the database, not in the block's overlay.
	ext.commit_all().unwrap();
	ext.execute_with(|| {
		for left in [136, 72, 8, 0] {
			assert_ok!(Peerz::finalise(signed(60)));
			assert_eq!(WorkRoots::<Test>::iter().count(), left);
		}
		assert_eq!(crate::NextStep::<Test>::get(), Step::Freeze);
	});
}
