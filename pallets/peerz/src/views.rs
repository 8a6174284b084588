//! Questions of clients. For runtime APIs: no call pays for them.

use crate::{
	pallet::{
		Bonds, Config, CurrentEpoch, Earnings, Models, ModelsOf, NextReview, NextSlot, Pallet, Roles, Seeds, SlotOf,
		Subjects,
	},
	types::{Balance, Epoch, EpochIndex, PendingReward, RoleId, RoleView, SubjectIndex, VALIDATOR},
};
use alloc::vec::Vec;
use frame_support::traits::Get;
use frame_system::pallet_prelude::BlockNumberFor;

impl<T: Config> Pallet<T> {
	/// The clock, and the epoch in which the next review is due.
	pub fn epoch_info() -> (Epoch<BlockNumberFor<T>>, EpochIndex) {
		(CurrentEpoch::<T>::get(), NextReview::<T>::get())
	}

	/// All roles with their weights, in parts per million.
	pub fn role_weights() -> Vec<RoleView> {
		Self::effective_weights()
			.into_iter()
			.filter_map(|(role, weight, multiplier, effective)| {
				let found = Roles::<T>::get(role)?;
				Some(RoleView {
					role,
					name: found.name.into_inner(),
					kind: found.kind,
					terms: found.terms,
					weight,
					multiplier,
					effective,
				})
			})
			.collect()
	}

	/// The slots of an account's subjects.
	pub fn subjects_of(account: &T::AccountId) -> Vec<SubjectIndex> {
		let models = ModelsOf::<T>::get(account);
		let models = models.iter().filter_map(Models::<T>::get).map(|model| model.index);
		SlotOf::<T>::iter_prefix_values(account).chain(models).collect()
	}

	/// What an account's subjects earned in final epochs and has not been claimed.
	pub fn pending_rewards(account: &T::AccountId) -> Vec<PendingReward> {
		let now = CurrentEpoch::<T>::get().index;
		let first = now.saturating_sub(T::HistoryDepth::get().saturating_add(1));
		let mut rewards = Vec::new();
		for index in Self::subjects_of(account) {
			for epoch in first..now {
				let Some(earning) = Earnings::<T>::get(epoch, index) else {
					continue;
				};
				let Some(amount) = Self::worth(epoch, earning.role, earning.points) else {
					continue;
				};
				let gone = earning.claimed || Self::is_forfeited(epoch, index, &earning);
				if earning.account != *account || gone {
					continue;
				}
				let (role, payable) = (earning.role, earning.payable);
				rewards.push(PendingReward {
					epoch,
					index,
					role,
					amount,
					payable,
				});
			}
		}
		rewards
	}

	/// Who attests a subject's work of an epoch. Empty before that epoch's seed is fixed.
	pub fn validators_of(epoch: EpochIndex, index: SubjectIndex) -> Vec<T::AccountId> {
		let Some(subject) = Subjects::<T>::get(index) else {
			return Vec::new();
		};
		if !Seeds::<T>::contains_key(epoch) {
			return Vec::new();
		}
		Self::assigned_slots(epoch, &subject)
			.into_iter()
			.map(|(_, account)| account)
			.collect()
	}

	/// The subjects that a validator attests in an epoch, in ascending order.
	pub fn subjects_attested_by(epoch: EpochIndex, account: &T::AccountId) -> Vec<SubjectIndex> {
		let subjects = (0..NextSlot::<T>::get())
			.filter_map(|index| Some((index, Subjects::<T>::get(index)?)))
			.filter(|(_, subject)| subject.role != VALIDATOR && Self::counts_in(subject, epoch))
			.collect();
		Self::assigned_among(epoch, account, subjects)
	}

	/// An account's bond in a role: what counts, and what is leaving.
	pub fn bond_of(account: &T::AccountId, role: RoleId) -> (Balance, Balance) {
		let bond = Bonds::<T>::get(account, role);
		let leaving = bond
			.unbonding
			.iter()
			.fold(0, |sum: Balance, part| sum.saturating_add(part.amount));
		(bond.active, leaving)
	}
}
