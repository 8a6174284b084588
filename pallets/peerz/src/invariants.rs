//! What is true between any two calls.
//!
//! * The weights of the roles sum to one; there is one per role.
//! * Slots: free ones and taken ones make up all that were ever used; generations match; account and role lead to the slot
//!   and back; validators and their seed chains are the same set.
//! * Holds: what the ledgers of bonds, votes and deposits say is exactly what is held, per account.
//! * Money: obligations are what pools and carries have left, and the pot has them; nobody was paid more than a pool has;
//!   every pool's claimed sum is that of the claimed earnings; points of earnings fit into those of the pool.
//! * Accusations are the pending slashes and open disputes.
//! * Node keys lead to accounts and back.
//! * Nothing outlives the history.

#![cfg(any(test, feature = "try-runtime"))]

use crate::{
	pallet::{
		Accusations, Attestations, Bonds, Carried, Config, CurrentEpoch, Disputes, Earnings, EpochValidators,
		FreeSlotCount, FreeSlots, Generations, HoldReason, Models, ModelsOf, NextRole, NextSlot, NodeKeyOf, NodeKeys,
		Obligations, Pallet, PendingSlashes, Pools, RoleWeights, RowPages, SeedChains, Seeds, SlotOf, SubjectCount,
		Subjects, ValidatorSlots, VoteLocked, Votes,
	},
	types::{EpochIndex, Phase, MODEL, PPM, VALIDATOR},
};
use alloc::collections::{BTreeMap, BTreeSet};
use frame_support::{
	ensure,
	traits::{
		fungible::{hold::Inspect as _, Inspect},
		Get,
	},
};
use peerz_consensus::split::pro_rata;

type Checked = Result<(), &'static str>;

impl<T: Config> Pallet<T> {
	/// Checks every invariant; the error says which one is broken.
	pub fn check_invariants() -> Checked {
		Self::check_weights()?;
		Self::check_slots()?;
		Self::check_validators()?;
		Self::check_holds()?;
		Self::check_votes()?;
		Self::check_money()?;
		Self::check_accusations()?;
		Self::check_node_keys()?;
		Self::check_history()
	}

	fn check_weights() -> Checked {
		let weights = RoleWeights::<T>::get();
		ensure!(
			weights.len() == usize::from(NextRole::<T>::get()),
			"one weight per role"
		);
		ensure!(weights.iter().sum::<u32>() == PPM, "weights sum to one");
		Ok(())
	}

	fn check_slots() -> Checked {
		let subjects: BTreeMap<_, _> = Subjects::<T>::iter().collect();
		let count = subjects.len() as u32;
		ensure!(SubjectCount::<T>::get() == count, "the count of subjects");
		ensure!(count <= T::MaxSubjects::get(), "the bound of subjects");
		let free: BTreeSet<u32> = FreeSlots::<T>::iter_values().collect();
		ensure!(
			free.len() as u32 == FreeSlotCount::<T>::get(),
			"free slots are distinct"
		);
		ensure!(
			free.len() as u32 + count == NextSlot::<T>::get(),
			"slots are free or taken"
		);
		ensure!(
			free.iter().all(|slot| !subjects.contains_key(slot)),
			"free slots are free"
		);
		let mut models = 0;
		for (index, subject) in &subjects {
			ensure!(*index < NextSlot::<T>::get(), "slots come from the counter");
			ensure!(subject.generation == Generations::<T>::get(index), "generations match");
			if subject.role == MODEL {
				models += 1;
			} else {
				let slot = SlotOf::<T>::get(&subject.account, subject.role);
				ensure!(slot == Some(*index), "an account leads to its slot");
			}
		}
		ensure!(SlotOf::<T>::iter().count() + models == subjects.len(), "and no further");
		ensure!(Models::<T>::iter().count() == models, "one model per model subject");
		for (root, model) in Models::<T>::iter() {
			let subject = subjects.get(&model.index).ok_or("a model has its subject")?;
			ensure!(subject.account == model.owner && subject.role == MODEL, "of its owner");
			ensure!(
				ModelsOf::<T>::get(&model.owner).contains(&root),
				"an owner knows its models"
			);
		}
		let listed: usize = ModelsOf::<T>::iter_values().map(|roots| roots.len()).sum();
		ensure!(listed == models, "and no others");
		Ok(())
	}

	fn check_validators() -> Checked {
		let listed: BTreeSet<u32> = ValidatorSlots::<T>::get().into_iter().collect();
		ensure!(
			listed.len() == ValidatorSlots::<T>::get().len(),
			"validators are listed once"
		);
		ensure!(
			listed.len() as u32 <= T::MaxValidators::get(),
			"the bound of validators"
		);
		let mut chains = 0;
		for (index, subject) in Subjects::<T>::iter().filter(|(_, one)| one.role == VALIDATOR) {
			ensure!(listed.contains(&index) == subject.left.is_none(), "until they leave");
			ensure!(SeedChains::<T>::contains_key(index), "a validator has its chain");
			chains += 1;
		}
		ensure!(SeedChains::<T>::iter().count() == chains, "only validators have chains");
		Ok(())
	}

	fn check_holds() -> Checked {
		let mut bonds = BTreeMap::new();
		for (account, _, bond) in Bonds::<T>::iter() {
			ensure!(
				bond.active > 0 || !bond.unbonding.is_empty(),
				"empty bonds are forgotten"
			);
			let leaving: u128 = bond.unbonding.iter().map(|chunk| chunk.amount).sum();
			*bonds.entry(account).or_insert(0) += bond.active + leaving;
		}
		for (account, sum) in bonds {
			let held = T::Currency::balance_on_hold(&HoldReason::Bond.into(), &account);
			ensure!(held == sum, "bonds are held");
		}
		let mut deposits = BTreeMap::new();
		let subjects = Subjects::<T>::iter_values().map(|one| (one.account, one.deposit));
		let keys = NodeKeys::<T>::iter_values().map(|one| (one.account, one.deposit));
		let disputes = Disputes::<T>::iter_values().map(|one| (one.opener, one.deposit));
		for (account, deposit) in subjects.chain(keys).chain(disputes) {
			*deposits.entry(account).or_insert(0) += deposit;
		}
		for (account, sum) in deposits {
			let held = T::Currency::balance_on_hold(&HoldReason::Deposit.into(), &account);
			ensure!(held == sum, "deposits are held");
		}
		Ok(())
	}

	fn check_votes() -> Checked {
		let mut sum = 0;
		for (account, vote) in Votes::<T>::iter() {
			let held = T::Currency::balance_on_hold(&HoldReason::Vote.into(), &account);
			ensure!(held == vote.amount, "votes are held");
			let shares: u32 = vote.shares.iter().map(|(_, share)| u32::from(*share)).sum();
			ensure!(shares == 10_000, "votes sum to one");
			sum += vote.amount;
		}
		ensure!(sum == VoteLocked::<T>::get(), "the sum of the locks");
		ensure!(
			Votes::<T>::count() as usize == Votes::<T>::iter().count(),
			"votes are counted"
		);
		ensure!(Votes::<T>::count() <= T::MaxVoters::get(), "the bound of votes");
		Ok(())
	}

	fn check_money() -> Checked {
		let left: u128 = Pools::<T>::iter_values().map(|pool| pool.total - pool.claimed).sum();
		let carried: u128 = Carried::<T>::iter_values().sum();
		ensure!(
			left + carried == Obligations::<T>::get(),
			"obligations are pools and carries"
		);
		let pot = T::Currency::balance(&Self::pot());
		let promised = Obligations::<T>::get() + T::Currency::minimum_balance();
		ensure!(pot >= promised, "the pot has what is promised");

		let mut sums: BTreeMap<(EpochIndex, u8), (u128, u128)> = BTreeMap::new();
		for (epoch, _, earning) in Earnings::<T>::iter() {
			let Some(pool) = Pools::<T>::get(epoch, earning.role) else {
				continue;
			};
			let sum = sums.entry((epoch, earning.role)).or_default();
			sum.0 += earning.points;
			if earning.claimed {
				sum.1 += pro_rata(pool.total, earning.points, pool.points);
			}
		}
		for (epoch, role, pool) in Pools::<T>::iter() {
			ensure!(pool.claimed <= pool.total, "no pool pays more than it has");
			let (points, claimed) = sums.get(&(epoch, role)).copied().unwrap_or_default();
			ensure!(points <= pool.points, "earnings fit into their pool");
			ensure!(claimed == pool.claimed, "a pool paid what was claimed");
		}
		Ok(())
	}

	fn check_accusations() -> Checked {
		let mut counts = BTreeMap::new();
		let slashes = PendingSlashes::<T>::iter_values().map(|slash| slash.account);
		let disputes = Disputes::<T>::iter_values().map(|dispute| dispute.accused);
		for account in slashes.chain(disputes) {
			*counts.entry(account).or_insert(0u32) += 1;
		}
		let known: BTreeMap<_, _> = Accusations::<T>::iter().collect();
		ensure!(known == counts, "accusations are slashes and disputes");
		Ok(())
	}

	fn check_node_keys() -> Checked {
		for (account, key) in NodeKeyOf::<T>::iter() {
			let record = NodeKeys::<T>::get(key).ok_or("a bound key has its record")?;
			ensure!(record.account == account, "and leads back");
			ensure!(record.retired.is_none() && !record.burnt, "and is in use");
		}
		let in_use = NodeKeys::<T>::iter_values().filter(|one| one.retired.is_none()).count();
		ensure!(in_use == NodeKeyOf::<T>::iter().count(), "each key in use is someone's");
		Ok(())
	}

	fn check_history() -> Checked {
		let epoch = CurrentEpoch::<T>::get();
		let work = Self::attested_in(epoch.index);
		let oldest = work.saturating_sub(T::HistoryDepth::get());
		let old = Pools::<T>::iter().map(|(epoch, _, _)| epoch);
		let old = old.chain(Earnings::<T>::iter().map(|(epoch, _, _)| epoch));
		let old = old.chain(Attestations::<T>::iter().map(|(epoch, _, _)| epoch));
		let old = old
			.chain(EpochValidators::<T>::iter_keys())
			.chain(Seeds::<T>::iter_keys());
		ensure!(
			old.min().is_none_or(|first| first >= oldest),
			"nothing outlives the history"
		);
		let waiting = matches!(epoch.phase, Phase::Reveal | Phase::Finalise);
		let mut rows = RowPages::<T>::iter_keys();
		ensure!(rows.all(|(of, _, _)| waiting && of == work), "no row is left behind");
		Ok(())
	}
}
