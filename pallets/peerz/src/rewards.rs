//! Emission, pools and claims.

use crate::{
	pallet::{
		Carried, Config, CurrentBooks, CurrentEpoch, Earnings, Error, Event, Obligations, Pallet, Params, Pools,
		RoleWeights, Roles, ScarcityOf, SlashRate, Subjects,
	},
	types::{Balance, Earning, EpochIndex, Phase, Pool, RoleId, SubjectIndex, PPM},
};
use alloc::vec::Vec;
use frame_support::{
	ensure,
	pallet_prelude::DispatchResult,
	traits::{
		fungible::{Inspect, Mutate},
		tokens::Preservation,
		Get,
	},
};
use peerz_consensus::{
	emission::draw,
	scarcity::{effective, next_multiplier},
	split::{largest_remainder, pro_rata},
};

impl<T: Config> Pallet<T> {
	/// Weights, multipliers and what both give, by id of the role, in parts per million.
	pub fn effective_weights() -> Vec<(RoleId, u32, u32, u32)> {
		let weights = RoleWeights::<T>::get();
		let multipliers: Vec<u32> = Self::role_ids().map(ScarcityOf::<T>::get).collect();
		let effective = effective(&weights, &multipliers);
		let all = weights.iter().zip(multipliers).zip(effective);
		Self::role_ids()
			.zip(all)
			.map(|(id, ((weight, multiplier), effective))| (id, *weight, multiplier, effective))
			.collect()
	}

	/// What of the pot is promised to nobody.
	fn surplus() -> Balance {
		T::Currency::balance(&Self::pot())
			.saturating_sub(T::Currency::minimum_balance())
			.saturating_sub(Obligations::<T>::get())
	}

	/// Emits, splits and opens the pools of `work`; returns those that have left the history.
	pub(crate) fn close(work: EpochIndex) {
		// Nobody could work in epoch 0.
		let Some(number) = work.checked_sub(1) else { return };
		let emission = Self::emit(number);
		let weights: Vec<u128> = Self::effective_weights()
			.iter()
			.map(|(_, _, _, weight)| (*weight).into())
			.collect();
		let parts = largest_remainder(emission, &weights);
		Obligations::<T>::mutate(|sum| *sum = sum.saturating_add(emission));
		Self::deposit_event(Event::Emitted {
			epoch: work,
			amount: emission,
		});

		let books = CurrentBooks::<T>::get();
		for (id, part) in Self::role_ids().zip(parts) {
			let tally = books.tallies.get(usize::from(id)).copied().unwrap_or_default();
			let total = Carried::<T>::get(id).saturating_add(part);
			if tally.points > 0 {
				Pools::<T>::insert(
					work,
					id,
					Pool {
						total,
						claimed: 0,
						points: tally.points,
					},
				);
				Carried::<T>::remove(id);
			} else if Roles::<T>::get(id).is_some_and(|role| role.terms.enabled) {
				Carried::<T>::insert(id, total);
			} else {
				// Nobody may ever earn in a role that is off: the pot has it back, and emits it again.
				Carried::<T>::remove(id);
				Obligations::<T>::mutate(|sum| *sum = sum.saturating_sub(total));
			}
			Self::deposit_event(Event::PoolClosed {
				epoch: work,
				role: id,
				total,
				points: tally.points,
			});
			let target = Roles::<T>::get(id).map_or(0, |role| role.terms.target_use);
			let former = ScarcityOf::<T>::get(id);
			let multiplier = match target {
				0 => PPM,
				target => next_multiplier(former, tally.served, tally.capacity, target),
			};
			if multiplier != former {
				ScarcityOf::<T>::insert(id, multiplier);
				Self::deposit_event(Event::ScarcityChanged {
					epoch: work,
					role: id,
					multiplier,
				});
			}
		}
		if let Some(old) = work.checked_sub(T::HistoryDepth::get()) {
			Self::expire(old);
		}
		let floor = Params::<T>::get().breaker_floor;
		SlashRate::<T>::mutate(|rate| *rate = rate.next_epoch(floor));
	}

	/// Mints what the schedule grants and the pot does not have. The only mint after genesis.
	fn emit(number: EpochIndex) -> Balance {
		let draw = draw(
			&Params::<T>::get().schedule(),
			number,
			T::Currency::total_issuance(),
			Self::surplus(),
		);
		let minted = match draw.mint {
			0 => 0,
			// The pot exists and the cap was looked at: this cannot fail. If it did, less is paid.
			mint => T::Currency::mint_into(&Self::pot(), mint).unwrap_or(0),
		};
		draw.spend.saturating_add(minted)
	}

	/// Moves what nobody claimed of `old` to the treasury.
	fn expire(old: EpochIndex) {
		let mut amount: Balance = 0;
		for id in Self::role_ids() {
			if let Some(pool) = Pools::<T>::take(old, id) {
				amount = amount.saturating_add(pool.total.saturating_sub(pool.claimed));
			}
		}
		if amount == 0 {
			return;
		}
		Obligations::<T>::mutate(|sum| *sum = sum.saturating_sub(amount));
		// If it could not be moved it would be the surplus of the pot, and be emitted again.
		let moved = T::Currency::transfer(&Self::pot(), &Self::treasury(), amount, Preservation::Preserve);
		if moved.is_ok() {
			Self::deposit_event(Event::RewardsExpired { epoch: old, amount });
		}
	}

	/// What an earning is worth, if its pool is there.
	pub(crate) fn worth(epoch: EpochIndex, role: RoleId, points: u128) -> Option<Balance> {
		let pool = Pools::<T>::get(epoch, role)?;
		Some(pro_rata(pool.total, points, pool.points))
	}

	/// Whether a fault that was found since has cost the subject this pay.
	pub(crate) fn is_forfeited(epoch: EpochIndex, index: SubjectIndex, earning: &Earning<T::AccountId>) -> bool {
		earning.withheld
			&& Subjects::<T>::get(index).is_some_and(|subject| {
				subject.generation == earning.generation && subject.last_fault.is_some_and(|fault| fault >= epoch)
			})
	}

	pub(crate) fn do_claim(who: T::AccountId, epoch: EpochIndex, index: SubjectIndex) -> DispatchResult {
		let mut earning = Earnings::<T>::get(epoch, index).ok_or(Error::<T>::NothingToClaim)?;
		ensure!(earning.account == who, Error::<T>::NotOwner);
		ensure!(!earning.claimed, Error::<T>::AlreadyClaimed);
		ensure!(
			earning.payable <= CurrentEpoch::<T>::get().index,
			Error::<T>::StillWithheld
		);
		ensure!(!Self::is_forfeited(epoch, index, &earning), Error::<T>::Forfeited);
		let now = CurrentEpoch::<T>::get();
		let finalised = epoch < Self::attested_in(now.index) || now.phase == Phase::Open;
		ensure!(finalised, Error::<T>::WrongPhase);
		let mut pool = Pools::<T>::get(epoch, earning.role).ok_or(Error::<T>::ClaimExpired)?;
		let amount = pro_rata(pool.total, earning.points, pool.points);
		ensure!(amount > 0, Error::<T>::NothingToClaim);
		T::Currency::transfer(&Self::pot(), &who, amount, Preservation::Preserve)?;
		pool.claimed = pool.claimed.saturating_add(amount);
		Pools::<T>::insert(epoch, earning.role, pool);
		Obligations::<T>::mutate(|sum| *sum = sum.saturating_sub(amount));
		earning.claimed = true;
		let role = earning.role;
		Earnings::<T>::insert(epoch, index, earning);
		Self::deposit_event(Event::Claimed {
			epoch,
			index,
			account: who,
			role,
			amount,
		});
		Ok(())
	}
}
