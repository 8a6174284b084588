use crate::{mock::*, types::*, Error, Event, Generations, Models, SlotOf, Subjects, PRZ};
use frame_support::{assert_noop, assert_ok};
use sp_core::H256;

const SHAPE: ModelShape = ModelShape {
	blocks: 30,
	params_per_block: 1_000_000,
	d_model: 576,
};

#[test]
fn a_provider_needs_no_bond_but_a_key() {
	run(|| {
		assert_noop!(Peerz::register_provider(signed(1)), Error::<Test>::NoNodeKey);
		let index = provider(1);
		System::assert_last_event(
			Event::SubjectRegistered {
				index,
				generation: 0,
				account: account(1),
				role: COMPUTE,
			}
			.into(),
		);
		assert_noop!(Peerz::register_provider(signed(1)), Error::<Test>::AlreadyRegistered);
	});
}

#[test]
fn an_expired_binding_registers_nobody() {
	run(|| {
		bind(1);
		System::set_block_number(1_000_000);
		assert_noop!(Peerz::register_provider(signed(1)), Error::<Test>::NoNodeKey);
	});
}

#[test]
fn registrations_are_bounded() {
	run(|| {
		MaxSubjects::set(3);
		MaxValidators::set(1);
		provider(1);
		provider(2);
		bind(3);
		assert_noop!(Peerz::register_provider(signed(3)), Error::<Test>::TooManySubjects);
		// The last slot is kept for the validator, who needs it no more once it has it.
		validator(4, 1_000 * PRZ);
		MaxSubjects::set(4);
		assert_ok!(Peerz::register_provider(signed(3)));
		MaxValidators::set(2);
		assert_ok!(Peerz::bond(signed(5), VALIDATOR, 1_000 * PRZ));
		assert_noop!(
			Peerz::register_validator(signed(5), link(5, 0)),
			Error::<Test>::TooManySubjects
		);
	});
}

#[test]
fn a_validator_always_posts_a_bond() {
	run(|| {
		assert_ok!(Peerz::bond(signed(1), VALIDATOR, 1_000 * PRZ - 1));
		assert_noop!(
			Peerz::register_validator(signed(1), link(1, 0)),
			Error::<Test>::BelowMinimumBond
		);
		assert_ok!(Peerz::bond(signed(1), VALIDATOR, 1));
		assert_ok!(Peerz::register_validator(signed(1), link(1, 0)));
	});
}

#[test]
fn validators_are_bounded() {
	run(|| {
		MaxValidators::set(1);
		validator(1, 1_000 * PRZ);
		assert_ok!(Peerz::bond(signed(2), VALIDATOR, 1_000 * PRZ));
		assert_noop!(
			Peerz::register_validator(signed(2), link(2, 0)),
			Error::<Test>::TooManyValidators
		);
	});
}

#[test]
fn a_seed_chain_is_replaced_from_the_next_epoch() {
	run(|| {
		let index = validator(1, 1_000 * PRZ);
		let tip = H256::repeat_byte(5);
		assert_ok!(Peerz::set_seed_chain(signed(1), tip));
		System::assert_last_event(Event::SeedChainSet { index, tip, from: 2 }.into());
		assert_eq!(Peerz::seed_chain(index).unwrap().tip, link(1, 0));
		to_epoch(2);
		assert_eq!(Peerz::seed_chain(index).unwrap().tip, tip);
	});
}

#[test]
fn a_seed_chain_is_not_replaced_once_links_are_shown() {
	run(|| {
		validator(1, 1_000 * PRZ);
		to_phase(Phase::Reveal);
		assert_noop!(
			Peerz::set_seed_chain(signed(1), H256::zero()),
			Error::<Test>::WrongPhase
		);
		assert_noop!(
			Peerz::set_seed_chain(signed(2), H256::zero()),
			Error::<Test>::UnknownSubject
		);
	});
}

#[test]
fn a_model_is_registered_once_with_a_deposit() {
	run(|| {
		let root = H256::repeat_byte(1);
		assert_ok!(Peerz::register_model(signed(1), root, SHAPE));
		assert_eq!(free(1), WEALTH - 10 * PRZ);
		assert_eq!(Models::<Test>::get(root).unwrap().owner, account(1));
		assert_noop!(
			Peerz::register_model(signed(2), root, SHAPE),
			Error::<Test>::ModelExists
		);
	});
}

#[test]
fn a_model_has_a_root_and_a_shape() {
	run(|| {
		assert_noop!(
			Peerz::register_model(signed(1), H256::zero(), SHAPE),
			Error::<Test>::BadModelRoot
		);
		let shape = ModelShape { blocks: 0, ..SHAPE };
		assert_noop!(
			Peerz::register_model(signed(1), H256::repeat_byte(1), shape),
			Error::<Test>::BadModelShape
		);
	});
}

#[test]
fn an_owner_has_sixteen_models_at_most() {
	run(|| {
		for n in 1..=16 {
			model(1, n);
		}
		assert_noop!(
			Peerz::register_model(signed(1), H256::repeat_byte(17), SHAPE),
			Error::<Test>::TooManyModels
		);
	});
}

#[test]
fn a_member_needs_the_bond_of_its_role() {
	run(|| {
		assert_noop!(Peerz::join_role(signed(1), DEVELOPER), Error::<Test>::BelowMinimumBond);
		assert_noop!(Peerz::join_role(signed(1), COMPUTE), Error::<Test>::WrongRoleKind);
		assert_noop!(Peerz::join_role(signed(1), 50), Error::<Test>::UnknownRole);
		member(1, DEVELOPER);
		assert_noop!(Peerz::join_role(signed(1), DEVELOPER), Error::<Test>::AlreadyRegistered);
		member(1, SOCIAL);
	});
}

#[test]
fn only_the_owner_lets_a_subject_leave_and_once() {
	run(|| {
		let index = provider(1);
		assert_noop!(Peerz::leave(signed(2), index), Error::<Test>::NotOwner);
		assert_noop!(Peerz::leave(signed(1), 99), Error::<Test>::UnknownSubject);
		assert_ok!(Peerz::leave(signed(1), index));
		System::assert_last_event(Event::SubjectLeft { index, epoch: 1 }.into());
		assert_noop!(Peerz::leave(signed(1), index), Error::<Test>::AlreadyLeft);
	});
}

#[test]
fn a_slot_is_used_again_with_a_new_generation() {
	run(|| {
		let index = provider(1);
		assert_noop!(Peerz::release(signed(1), index), Error::<Test>::StillActive);
		assert_ok!(Peerz::leave(signed(1), index));
		assert_noop!(Peerz::release(signed(1), index), Error::<Test>::TooEarly);
		to_epoch(7);
		assert_ok!(Peerz::release(signed(1), index));
		assert_eq!(Generations::<Test>::get(index), 1);
		assert_eq!(provider(2), index);
		assert_eq!(Subjects::<Test>::get(index).unwrap().generation, 1);
		assert!(!SlotOf::<Test>::contains_key(account(1), COMPUTE));
	});
}

#[test]
fn a_released_model_returns_its_deposit() {
	run(|| {
		let index = model(1, 1);
		let other = model(1, 2);
		assert_ok!(Peerz::leave(signed(1), index));
		to_epoch(7);
		assert_ok!(Peerz::release(signed(1), index));
		assert_eq!(free(1), WEALTH - 10 * PRZ);
		assert!(!Models::<Test>::contains_key(H256::repeat_byte(1)));
		assert_eq!(Peerz::subjects_of(&account(1)), [other]);
	});
}

#[test]
fn a_validator_that_left_can_come_back_only_after_its_release() {
	run(|| {
		let index = validator(1, 1_000 * PRZ);
		assert_ok!(Peerz::leave(signed(1), index));
		assert_noop!(
			Peerz::register_validator(signed(1), link(1, 0)),
			Error::<Test>::AlreadyRegistered
		);
		to_epoch(7);
		assert_ok!(Peerz::release(signed(1), index));
		assert_ok!(Peerz::register_validator(signed(1), link(1, 0)));
	});
}
