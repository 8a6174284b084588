//! Slashes: they wait, so that they can be cancelled; they are capped; and there are never far more than usual.

use crate::{
	pallet::{
		Accusations, Bonds, Config, CurrentEpoch, Error, Event, HoldReason, NextSlash, Pallet, Params, PendingSlashes,
		SlashRate, SlashedOf, SlotOf, Subjects,
	},
	types::{Balance, Bond, EpochIndex, Fault, FrozenValidator, PendingSlash, RoleId, SubjectIndex, VALIDATOR},
};
use frame_support::{
	ensure,
	pallet_prelude::{DispatchResult, EnsureOrigin},
	traits::{
		fungible::hold::Mutate,
		tokens::{Fortitude, Precision, Restriction},
	},
};
use frame_system::pallet_prelude::OriginFor;
use peerz_consensus::arith::of_bps;

impl<T: Config> Pallet<T> {
	/// Accuses a validator of having committed to a row without revealing it.
	pub(crate) fn accuse_hidden_row(epoch: EpochIndex, validator: &FrozenValidator<T::AccountId>) {
		Self::deposit_event(Event::RowHidden {
			epoch,
			index: validator.index,
		});
		let part = Params::<T>::get().hidden_row_slash;
		Self::accuse(validator.account.clone(), VALIDATOR, Fault::HiddenRow, part, None);
	}

	/// Queues a slash of `part` (basis points) of all that is bonded, and jails where the fault asks for it.
	pub(crate) fn accuse(account: T::AccountId, role: RoleId, fault: Fault, part: u16, reporter: Option<T::AccountId>) {
		let params = Params::<T>::get();
		let now = CurrentEpoch::<T>::get().index;
		if fault != Fault::HiddenRow {
			let until = now.saturating_add(params.jail_epochs);
			if let Some(index) = SlotOf::<T>::get(&account, role) {
				Subjects::<T>::mutate(index, |subject| {
					if let Some(subject) = subject {
						subject.jailed_until = until;
						subject.last_fault = Some(now);
						subject.clean_epochs = 0;
					}
				});
				Self::deposit_event(Event::Jailed { index, until });
			}
		}
		let amount = of_bps(Self::whole_bond(&account, role), part);
		if amount == 0 {
			return;
		}
		let id = NextSlash::<T>::mutate(|next| {
			let id = *next;
			*next = next.wrapping_add(1);
			id
		});
		let due = now.saturating_add(params.slash_delay);
		PendingSlashes::<T>::insert(
			id,
			PendingSlash {
				account: account.clone(),
				role,
				fault,
				amount,
				reporter,
				due,
			},
		);
		Self::add_accusation(&account);
		Self::deposit_event(Event::SlashQueued {
			id,
			account,
			role,
			fault,
			amount,
			due,
		});
	}

	/// Everything of a bond that can be slashed.
	fn whole_bond(account: &T::AccountId, role: RoleId) -> Balance {
		let bond = Bonds::<T>::get(account, role);
		bond.unbonding
			.iter()
			.fold(bond.active, |sum, chunk| sum.saturating_add(chunk.amount))
	}

	pub(crate) fn add_accusation(account: &T::AccountId) {
		Accusations::<T>::mutate(account, |count| *count = count.saturating_add(1));
	}

	pub(crate) fn drop_accusation(account: &T::AccountId) {
		Accusations::<T>::mutate_exists(account, |count| {
			*count = count.unwrap_or(0).checked_sub(1).filter(|left| *left > 0);
		});
	}

	/// Applies a slash that is due. Governance may also apply it while the breaker is open.
	pub(crate) fn do_apply_slash(origin: OriginFor<T>, id: u32) -> DispatchResult {
		let by_governance = match T::GovernanceOrigin::try_origin(origin) {
			Ok(_) => true,
			Err(origin) => {
				Self::signed(origin)?;
				false
			}
		};
		let slash = PendingSlashes::<T>::get(id).ok_or(Error::<T>::UnknownSlash)?;
		let params = Params::<T>::get();
		let now = CurrentEpoch::<T>::get().index;
		ensure!(slash.due <= now, Error::<T>::TooEarly);
		let rate = SlashRate::<T>::get();
		ensure!(
			by_governance || !rate.is_open(params.breaker_floor),
			Error::<T>::BreakerOpen
		);

		let mut bond = Bonds::<T>::get(&slash.account, slash.role);
		let whole = Self::whole_bond(&slash.account, slash.role);
		let today = now.checked_div(params.day_epochs).unwrap_or(now);
		let (amount, history) =
			SlashedOf::<T>::get(&slash.account, slash.role).take(&params.slash_caps(), today, whole, slash.amount);
		Self::cut(&mut bond, amount);
		let rewarded = slash
			.reporter
			.as_ref()
			.map(|reporter| (reporter, of_bps(amount, params.reporter_share)))
			.filter(|(reporter, share)| Self::move_bond(&slash.account, reporter, *share).is_ok())
			.map_or(0, |(_, share)| share);
		let rest = amount.saturating_sub(rewarded);
		Self::move_bond(&slash.account, &Self::treasury(), rest)?;

		SlashedOf::<T>::insert(&slash.account, slash.role, history);
		Self::put_bond(&slash.account, slash.role, bond);
		SlashRate::<T>::put(rate.record());
		PendingSlashes::<T>::remove(id);
		Self::drop_accusation(&slash.account);
		Self::deposit_event(Event::Slashed {
			id,
			account: slash.account,
			role: slash.role,
			fault: slash.fault,
			amount,
			rewarded,
		});
		Ok(())
	}

	/// Takes `amount` out of a bond: what is active first, then what leaves last.
	fn cut(bond: &mut Bond, amount: Balance) {
		let from_active = bond.active.min(amount);
		bond.active = bond.active.saturating_sub(from_active);
		let mut left = amount.saturating_sub(from_active);
		for chunk in bond.unbonding.iter_mut().rev() {
			let taken = chunk.amount.min(left);
			chunk.amount = chunk.amount.saturating_sub(taken);
			left = left.saturating_sub(taken);
		}
		bond.unbonding.retain(|chunk| chunk.amount > 0);
	}

	fn move_bond(from: &T::AccountId, to: &T::AccountId, amount: Balance) -> DispatchResult {
		if amount == 0 {
			return Ok(());
		}
		T::Currency::transfer_on_hold(
			&HoldReason::Bond.into(),
			from,
			to,
			amount,
			Precision::Exact,
			Restriction::Free,
			Fortitude::Force,
		)?;
		Ok(())
	}

	pub(crate) fn do_cancel_slash(id: u32) -> DispatchResult {
		let slash = PendingSlashes::<T>::take(id).ok_or(Error::<T>::UnknownSlash)?;
		Self::drop_accusation(&slash.account);
		// Whoever is accused of something else stays in jail.
		if Accusations::<T>::get(&slash.account) == 0 {
			if let Some(index) = SlotOf::<T>::get(&slash.account, slash.role) {
				Self::acquit(index);
			}
		}
		Self::deposit_event(Event::SlashCancelled {
			id,
			account: slash.account,
		});
		Ok(())
	}

	/// Lets a subject out of jail.
	fn acquit(index: SubjectIndex) {
		Subjects::<T>::mutate(index, |subject| {
			if let Some(subject) = subject {
				subject.jailed_until = 0;
				subject.last_fault = None;
			}
		});
	}
}
