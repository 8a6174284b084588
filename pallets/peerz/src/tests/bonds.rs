use crate::{mock::*, types::*, Bonds, Error, Event, PRZ};
use frame_support::{
	assert_noop, assert_ok,
	traits::fungible::{Inspect, InspectHold},
};
use sp_runtime::TokenError;

fn held(n: u8) -> u128 {
	Balances::balance_on_hold(&crate::HoldReason::Bond.into(), &account(n))
}

#[test]
fn a_bond_is_held() {
	run(|| {
		assert_ok!(Peerz::bond(signed(1), COMPUTE, 5 * PRZ));
		assert_eq!(held(1), 5 * PRZ);
		assert_eq!(Peerz::bond_of(&account(1), COMPUTE), (5 * PRZ, 0));
		System::assert_last_event(
			Event::Bonded {
				account: account(1),
				role: COMPUTE,
				amount: 5 * PRZ,
			}
			.into(),
		);
	});
}

#[test]
fn bonds_of_roles_are_apart() {
	run(|| {
		assert_ok!(Peerz::bond(signed(1), COMPUTE, 5 * PRZ));
		assert_ok!(Peerz::bond(signed(1), VALIDATOR, 7 * PRZ));
		assert_eq!(held(1), 12 * PRZ);
		assert_noop!(Peerz::unbond(signed(1), COMPUTE, 6 * PRZ), Error::<Test>::BondTooSmall);
	});
}

#[test]
fn a_bond_needs_an_amount_a_role_and_funds() {
	run(|| {
		assert_noop!(Peerz::bond(signed(1), COMPUTE, 0), Error::<Test>::ZeroAmount);
		assert_noop!(Peerz::bond(signed(1), 99, 1), Error::<Test>::UnknownRole);
		assert_noop!(Peerz::bond(signed(1), MODEL, 1), Error::<Test>::WrongRoleKind);
		assert_noop!(
			Peerz::bond(signed(1), COMPUTE, WEALTH + 1),
			TokenError::FundsUnavailable
		);
	});
}

#[test]
fn unbonding_takes_its_time() {
	run(|| {
		assert_ok!(Peerz::bond(signed(1), COMPUTE, 10 * PRZ));
		assert_ok!(Peerz::unbond(signed(1), COMPUTE, 4 * PRZ));
		assert_eq!(Peerz::bond_of(&account(1), COMPUTE), (6 * PRZ, 4 * PRZ));
		to_epoch(6);
		assert_noop!(
			Peerz::withdraw_unbonded(signed(1), COMPUTE),
			Error::<Test>::NothingToWithdraw
		);
		to_epoch(7);
		assert_ok!(Peerz::withdraw_unbonded(signed(1), COMPUTE));
		assert_eq!((held(1), free(1)), (6 * PRZ, WEALTH - 6 * PRZ));
	});
}

#[test]
fn an_empty_bond_is_forgotten() {
	run(|| {
		assert_ok!(Peerz::bond(signed(1), COMPUTE, 10 * PRZ));
		assert_ok!(Peerz::unbond(signed(1), COMPUTE, 10 * PRZ));
		to_epoch(7);
		assert_ok!(Peerz::withdraw_unbonded(signed(1), COMPUTE));
		assert!(!Bonds::<Test>::contains_key(account(1), COMPUTE));
	});
}

#[test]
fn amounts_of_one_epoch_unbond_together_and_eight_at_once() {
	run(|| {
		with_parameters(|p| p.unbonding_epochs = 20);
		assert_ok!(Peerz::bond(signed(1), COMPUTE, PRZ));
		assert_ok!(Peerz::unbond(signed(1), COMPUTE, 1));
		assert_ok!(Peerz::unbond(signed(1), COMPUTE, 1));
		assert_eq!(Bonds::<Test>::get(account(1), COMPUTE).unbonding.len(), 1);
		for epoch in 2..=8 {
			to_epoch(epoch);
			assert_ok!(Peerz::unbond(signed(1), COMPUTE, 1));
		}
		to_epoch(9);
		assert_noop!(Peerz::unbond(signed(1), COMPUTE, 1), Error::<Test>::TooManyUnbonding);
	});
}

#[test]
fn an_active_validator_keeps_the_least_bond() {
	run(|| {
		validator(1, 1_000 * PRZ + 5);
		assert_noop!(Peerz::unbond(signed(1), VALIDATOR, 6), Error::<Test>::BelowMinimumBond);
		assert_ok!(Peerz::unbond(signed(1), VALIDATOR, 5));
		let index = crate::SlotOf::<Test>::get(account(1), VALIDATOR).unwrap();
		assert_ok!(Peerz::leave(signed(1), index));
		assert_ok!(Peerz::unbond(signed(1), VALIDATOR, 1_000 * PRZ));
	});
}

#[test]
fn no_bond_is_dust() {
	run(|| {
		let least = <Balances as Inspect<_>>::minimum_balance();
		let below = || Error::<Test>::BelowMinimumBond;
		assert_noop!(Peerz::bond(signed(1), COMPUTE, least - 1), below());
		assert_ok!(Peerz::bond(signed(1), COMPUTE, least + 1));
		assert_noop!(Peerz::unbond(signed(1), COMPUTE, 2), below());
		assert_ok!(Peerz::unbond(signed(1), COMPUTE, 1));
		assert_ok!(Peerz::unbond(signed(1), COMPUTE, least));
	});
}
