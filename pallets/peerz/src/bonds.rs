//! Bonds: held, slow to leave, and within reach of a slash until they have left.

use crate::{
	pallet::{
		Accusations, Bonds, Config, CurrentEpoch, Error, Event, HoldReason, Pallet, Params, SlashedOf, SlotOf, Subjects,
	},
	types::{Balance, Bond, RoleId, RoleKind, Unbonding},
};
use frame_support::{
	ensure,
	pallet_prelude::DispatchResult,
	traits::{
		fungible::{hold::Mutate, Inspect},
		tokens::{Fortitude, Precision, Restriction},
	},
};
use sp_runtime::ArithmeticError;

impl<T: Config> Pallet<T> {
	/// What counts of an account's bond in a role.
	pub fn active_bond(account: &T::AccountId, role: RoleId) -> Balance {
		Bonds::<T>::get(account, role).active
	}

	pub(crate) fn do_bond(who: T::AccountId, role: RoleId, amount: Balance) -> DispatchResult {
		ensure!(amount > 0, Error::<T>::ZeroAmount);
		let kind = Self::role(role)?.kind;
		ensure!(kind != RoleKind::Model, Error::<T>::WrongRoleKind);
		let mut bond = Bonds::<T>::get(&who, role);
		bond.active = bond.active.checked_add(amount).ok_or(ArithmeticError::Overflow)?;
		Self::ensure_no_dust(bond.active)?;
		T::Currency::hold(&HoldReason::Bond.into(), &who, amount)?;
		Bonds::<T>::insert(&who, role, bond);
		Self::deposit_event(Event::Bonded {
			account: who,
			role,
			amount,
		});
		Ok(())
	}

	pub(crate) fn do_unbond(who: T::AccountId, role: RoleId, amount: Balance) -> DispatchResult {
		ensure!(amount > 0, Error::<T>::ZeroAmount);
		ensure!(Accusations::<T>::get(&who) == 0, Error::<T>::Accused);
		let terms = Self::role(role)?;
		let mut bond = Bonds::<T>::get(&who, role);
		bond.active = bond.active.checked_sub(amount).ok_or(Error::<T>::BondTooSmall)?;
		Self::ensure_no_dust(bond.active)?;
		let registered = SlotOf::<T>::get(&who, role)
			.and_then(Subjects::<T>::get)
			.is_some_and(|subject| subject.left.is_none());
		if registered && terms.kind != RoleKind::Compute {
			ensure!(bond.active >= terms.terms.min_bond, Error::<T>::BelowMinimumBond);
		}
		let unlock = CurrentEpoch::<T>::get()
			.index
			.saturating_add(Params::<T>::get().unbonding_epochs);
		match bond.unbonding.iter_mut().find(|chunk| chunk.unlock == unlock) {
			// Both were part of one bond, whose sum is held.
			Some(chunk) => chunk.amount = chunk.amount.saturating_add(amount),
			None => bond
				.unbonding
				.try_push(Unbonding { amount, unlock })
				.map_err(|_| Error::<T>::TooManyUnbonding)?,
		}
		Bonds::<T>::insert(&who, role, bond);
		Self::deposit_event(Event::Unbonded {
			account: who,
			role,
			amount,
			unlock,
		});
		Ok(())
	}

	/// A bond is an entry in the storage like an account: one that is there is worth as much as an account must be.
	fn ensure_no_dust(active: Balance) -> DispatchResult {
		let dust = active > 0 && active < T::Currency::minimum_balance();
		ensure!(!dust, Error::<T>::BelowMinimumBond);
		Ok(())
	}

	pub(crate) fn do_withdraw(who: T::AccountId, role: RoleId) -> DispatchResult {
		ensure!(Accusations::<T>::get(&who) == 0, Error::<T>::Accused);
		let now = CurrentEpoch::<T>::get().index;
		let mut bond = Bonds::<T>::get(&who, role);
		let mut amount: Balance = 0;
		bond.unbonding.retain(|chunk| {
			let stays = chunk.unlock > now;
			if !stays {
				amount = amount.saturating_add(chunk.amount);
			}
			stays
		});
		ensure!(amount > 0, Error::<T>::NothingToWithdraw);
		T::Currency::release(&HoldReason::Bond.into(), &who, amount, Precision::Exact)?;
		Self::put_bond(&who, role, bond);
		Self::deposit_event(Event::Withdrawn {
			account: who,
			role,
			amount,
		});
		Ok(())
	}

	/// Writes a bond. An empty one is forgotten, with what was slashed from it.
	pub(crate) fn put_bond(who: &T::AccountId, role: RoleId, bond: Bond) {
		if bond.active == 0 && bond.unbonding.is_empty() {
			Bonds::<T>::remove(who, role);
			SlashedOf::<T>::remove(who, role);
		} else {
			Bonds::<T>::insert(who, role, bond);
		}
	}

	/// Holds a deposit.
	pub(crate) fn hold_deposit(who: &T::AccountId, amount: Balance) -> DispatchResult {
		if amount == 0 {
			return Ok(());
		}
		T::Currency::hold(&HoldReason::Deposit.into(), who, amount)
	}

	/// Returns a deposit.
	pub(crate) fn return_deposit(who: &T::AccountId, amount: Balance) -> DispatchResult {
		if amount == 0 {
			return Ok(());
		}
		T::Currency::release(&HoldReason::Deposit.into(), who, amount, Precision::Exact)?;
		Ok(())
	}

	/// Moves a deposit to the treasury.
	pub(crate) fn forfeit_deposit(who: &T::AccountId, amount: Balance) -> DispatchResult {
		if amount == 0 {
			return Ok(());
		}
		T::Currency::transfer_on_hold(
			&HoldReason::Deposit.into(),
			who,
			&Self::treasury(),
			amount,
			Precision::Exact,
			Restriction::Free,
			Fortitude::Force,
		)?;
		Ok(())
	}
}
