//! Random calls of ten people over many epochs. After every one of them all invariants hold; a call that fails changes
//! nothing; nothing but finalising changes the issuance; and no fund is made or lost.

use crate::{disputes::RECEIPT_DOMAIN, mock::*, types::*, CurrentEpoch, EpochValidators, NextSlot, Params, PRZ};
use frame_support::{dispatch::DispatchResult, traits::UnixTime, StorageHasher};
use proptest::prelude::*;
use sp_core::{Pair, H256};
use sp_runtime::StateVersion;

#[derive(Clone, Debug)]
enum Action {
	Blocks(u8),
	Attest { seed: u64, hide: u8 },
	Finalise,
	Bond(u8, RoleId, u16),
	Unbond(u8, u16),
	Withdraw(u8),
	Bind(u8, u32),
	RetireKey(u8),
	ReleaseKey(u8),
	Provider(u8),
	Validator(u8),
	SeedChain(u8),
	Model(u8, u8),
	Join(u8, RoleId),
	Leave(SubjectIndex),
	Release(SubjectIndex),
	Vote(u8, u16, u8, Option<u8>),
	RemoveVote(u8),
	UnlockVote(u8),
	WorkRoot(u8),
	Plant(SubjectIndex),
	ShowPlant(SubjectIndex),
	Claim(u8),
	Report(u8, u8),
	Dispute(u8, SubjectIndex),
	Judge(u8, SubjectIndex, bool),
	JudgeAll(u8),
	Close(SubjectIndex),
	Resolve(SubjectIndex, bool),
	Apply(u8),
	Cancel(u8),
	Pause,
	Resume,
	Spend(u16),
	Give(u16),
	Emission(u16),
}

fn action() -> impl Strategy<Value = Action> {
	use Action::*;
	let who = 1..=10u8;
	let slot = 0..14u32;
	let role = 0..6u8;
	prop_oneof![
		6 => (1..12u8).prop_map(Blocks),
		24 => (any::<u64>(), 0..3u8).prop_map(|(seed, hide)| Attest { seed, hide }),
		2 => Just(Finalise),
		4 => (who.clone(), role.clone(), 1..2_000u16).prop_map(|(n, r, a)| Bond(n, r, a)),
		8 => (any::<u8>(), 1..400u16).prop_map(|(pick, a)| Unbond(pick, a)),
		8 => any::<u8>().prop_map(Withdraw),
		2 => (who.clone(), 1..5_000u32).prop_map(|(n, t)| Bind(n, t)),
		1 => who.clone().prop_map(RetireKey),
		1 => who.clone().prop_map(ReleaseKey),
		4 => who.clone().prop_map(Provider),
		6 => who.clone().prop_map(Validator),
		1 => who.clone().prop_map(SeedChain),
		2 => (who.clone(), 1..6u8).prop_map(|(n, root)| Model(n, root)),
		2 => (who.clone(), role).prop_map(|(n, r)| Join(n, r)),
		4 => slot.clone().prop_map(Leave),
		8 => slot.clone().prop_map(Release),
		4 => (who.clone(), 10..900u16, any::<u8>(), proptest::option::of(who.clone()))
			.prop_map(|(n, a, v, e)| Vote(n, a, v, e)),
		4 => who.clone().prop_map(RemoveVote),
		6 => who.clone().prop_map(UnlockVote),
		1 => who.clone().prop_map(WorkRoot),
		1 => slot.clone().prop_map(Plant),
		1 => slot.clone().prop_map(ShowPlant),
		16 => any::<u8>().prop_map(Claim),
		2 => (who.clone(), 0..3u8).prop_map(|(n, s)| Report(n, s)),
		6 => (any::<u8>(), slot.clone()).prop_map(|(pick, i)| Dispute(pick, i)),
		1 => (who.clone(), slot.clone(), any::<bool>()).prop_map(|(n, i, yes)| Judge(n, i, yes)),
		16 => any::<u8>().prop_map(JudgeAll),
		1 => slot.clone().prop_map(Close),
		1 => (slot, any::<bool>()).prop_map(|(i, yes)| Resolve(i, yes)),
		8 => any::<u8>().prop_map(Apply),
		1 => (0..8u8).prop_map(Cancel),
		1 => Just(Pause),
		10 => Just(Resume),
		1 => (1..1_000u16).prop_map(Spend),
		1 => (1..1_000u16).prop_map(Give),
		1 => (0..20_000u16).prop_map(Emission),
	]
}

fn root() -> RuntimeOrigin {
	RuntimeOrigin::root()
}

/// A number that follows from a seed and a place.
fn noise(seed: u64, a: u64, b: u64) -> u64 {
	let hash = frame_support::Blake2_128::hash(&[seed, a, b].map(u64::to_le_bytes).concat());
	u64::from_le_bytes(hash[..8].try_into().unwrap())
}

fn person_of(account: &AccountId) -> u8 {
	(1..=60).find(|n| crate::mock::account(*n) == *account).unwrap()
}

/// The frozen validators attest what they please, some hide it, and the epoch is finalised.
fn attest_at_random(seed: u64, hide: u8) {
	if crate::PausedSince::<Test>::exists() {
		return;
	}
	to_phase(Phase::Commit);
	let work = now() - 1;
	let mut rows = Vec::new();
	for (slot, validator) in EpochValidators::<Test>::get(work).into_iter().enumerate() {
		let n = person_of(&validator.account);
		let entries: Vec<Entry> = Peerz::subjects_attested_by(work, &validator.account)
			.into_iter()
			.filter(|index| !noise(seed, 1, u64::from(*index)).is_multiple_of(8))
			.map(|member| {
				let truth = noise(seed, 2, u64::from(member)) % 1_000_000;
				let units = truth + noise(seed, slot as u64, u64::from(member)) % 100_000;
				let faults = u32::from(noise(seed, 3, u64::from(member)).is_multiple_of(20));
				Entry {
					member,
					units,
					capacity: units * 2,
					faults,
				}
			})
			.collect();
		if Peerz::commit(signed(n), commitment(n, &entries)).is_ok() {
			rows.push((n, entries));
		}
	}
	to_phase(Phase::Reveal);
	for (n, entries) in rows {
		if noise(seed, 4, u64::from(n)) % 10 >= u64::from(hide.min(5)) {
			reveal(n, &entries).unwrap();
		}
	}
	to_phase(Phase::Open);
}

fn receipt(n: u8, seq: u64, out: u8) -> SignedReceipt {
	let receipt = Receipt {
		seq,
		position: 0,
		n_tokens: 1,
		kind: 1,
		in_hash: [1; 32],
		out_hash: [out; 32],
		in_chain: [2; 32],
	};
	let payload = Peerz::signed_payload(RECEIPT_DOMAIN, 1, &receipt.body(&[4; 16]));
	SignedReceipt {
		receipt,
		signature: Person::new(n).node_pair.sign(&payload).0,
	}
}

fn shares(kind: u8) -> RoleShares {
	let social = u16::from(kind) * 10;
	vec![(COMPUTE, 5_000), (VALIDATOR, 5_000 - social), (SOCIAL, social)]
		.try_into()
		.unwrap()
}

/// The owner of a slot, or anybody.
fn owner(index: SubjectIndex) -> RuntimeOrigin {
	let subject = crate::Subjects::<Test>::get(index);
	RuntimeOrigin::signed(subject.map_or(account(1), |subject| subject.account))
}

/// One of all bonds, or none at all.
fn some_bond(pick: u8) -> (RuntimeOrigin, RoleId) {
	let bonds: Vec<_> = crate::Bonds::<Test>::iter().collect();
	match bonds.get(usize::from(pick) % bonds.len().max(1)) {
		Some((who, role, _)) => (RuntimeOrigin::signed(who.clone()), *role),
		None => (signed(1), COMPUTE),
	}
}

/// Runs an action whose failure must change nothing.
fn call(action: Action) -> DispatchResult {
	use Action::*;
	let prz = |amount: u16| u128::from(amount) * PRZ;
	match action {
		Blocks(_) | Attest { .. } | JudgeAll(_) => Ok(()),
		Finalise => Peerz::finalise(signed(60)).map(|_| ()).map_err(|error| error.error),
		Bond(n, role, amount) => Peerz::bond(signed(n), role, prz(amount)),
		Unbond(pick, amount) => {
			let (who, role) = some_bond(pick);
			Peerz::unbond(who, role, prz(amount))
		}
		Withdraw(pick) => {
			let (who, role) = some_bond(pick);
			Peerz::withdraw_unbonded(who, role)
		}
		Bind(n, time) => {
			let person = Person::new(n);
			let expiry = BlockClock::now().as_secs() + u64::from(time);
			let (by_account, by_node) = person.binding(expiry);
			Peerz::bind_node_key(signed(n), person.node_key(), expiry, by_account, by_node)
		}
		RetireKey(n) => Peerz::retire_node_key(signed(n)),
		ReleaseKey(n) => Peerz::release_node_key(signed(n), Person::new(n).node_key()),
		Provider(n) => Peerz::register_provider(signed(n)),
		Validator(n) => Peerz::register_validator(signed(n), link(n, 0)),
		SeedChain(n) => Peerz::set_seed_chain(signed(n), link(n, 0)),
		Model(n, root) => Peerz::register_model(
			signed(n),
			H256::repeat_byte(root),
			ModelShape {
				blocks: 1,
				params_per_block: 1,
				d_model: 1,
			},
		),
		Join(n, role) => Peerz::join_role(signed(n), role),
		Leave(index) => Peerz::leave(owner(index), index),
		Release(index) => Peerz::release(owner(index), index),
		Vote(n, amount, kind, evict) => Peerz::vote(signed(n), shares(kind), prz(amount), evict.map(account)),
		RemoveVote(n) => Peerz::remove_vote(signed(n)),
		UnlockVote(n) => Peerz::unlock_vote(signed(n)),
		WorkRoot(n) => Peerz::submit_work_root(signed(n), H256::repeat_byte(1), 1),
		Plant(index) => Peerz::plant_fault(root(), Peerz::plant_hash(now(), index, SALT)),
		ShowPlant(index) => Peerz::show_plant(signed(1), index, SALT),
		Claim(pick) => {
			let earnings: Vec<_> = crate::Earnings::<Test>::iter().collect();
			let Some((epoch, index, earning)) = earnings.get(usize::from(pick) % earnings.len().max(1)).cloned() else {
				return Peerz::claim(signed(1), 0, 0);
			};
			Peerz::claim(RuntimeOrigin::signed(earning.account), epoch, index)
		}
		Report(n, seq) => Peerz::report_equivocation(
			signed(50),
			Person::new(n).node_key(),
			[4; 16],
			receipt(n, seq.into(), 1),
			receipt(n, seq.into(), 2),
		),
		Dispute(pick, index) => {
			let validators = EpochValidators::<Test>::get(now());
			let who = validators
				.iter()
				.cycle()
				.nth(pick.into())
				.map(|one| one.account.clone());
			let who = RuntimeOrigin::signed(who.unwrap_or(account(1)));
			Peerz::open_dispute(who, index, EVIDENCE, H256::repeat_byte(6))
		}
		Judge(n, index, yes) => Peerz::judge_dispute(signed(n), index, yes),
		Close(index) => Peerz::close_dispute(signed(1), index),
		Resolve(index, yes) => Peerz::resolve_held(root(), index, yes),
		Apply(pick) => {
			let pending: Vec<u32> = crate::PendingSlashes::<Test>::iter_keys().collect();
			let id = pending.get(usize::from(pick) % pending.len().max(1)).copied();
			Peerz::apply_slash(signed(40), id.unwrap_or(u32::MAX))
		}
		Cancel(id) => Peerz::cancel_slash(root(), id.into()),
		Pause => Peerz::pause(root()),
		Resume => Peerz::resume(root()),
		Spend(amount) => Peerz::spend_treasury(root(), account(1), prz(amount)),
		Give(amount) => Balances::transfer_allow_death(signed(50), Peerz::pot(), prz(amount)).map(|_| ()),
		Emission(amount) => {
			let emission = prz(amount);
			Peerz::set_parameters(
				root(),
				crate::Parameters {
					emission,
					..Params::<Test>::get()
				},
			)
		}
	}
}

fn act(action: Action) {
	let before = sp_io::storage::root(StateVersion::V1);
	let issuance = Balances::total_issuance();
	match action {
		Action::Blocks(count) => (0..count).for_each(|_| next_block()),
		Action::Attest { seed, hide } => attest_at_random(seed, hide),
		Action::JudgeAll(votes) => {
			// All open disputes, each member of a panel by its own bit.
			for (index, dispute) in crate::Disputes::<Test>::iter().collect::<Vec<_>>() {
				for (at, (_, member)) in Peerz::panel(&dispute).unwrap_or_default().iter().enumerate() {
					let yes = votes >> at & 1 == 0 || votes > 127;
					let _ = call(Action::Judge(person_of(member), index, yes));
				}
			}
		}
		action => {
			let finalising = matches!(action, Action::Finalise);
			let shown = format!("{action:?}");
			let result = call(action);
			if result.is_err() {
				let after = sp_io::storage::root(StateVersion::V1);
				assert_eq!(before, after, "{shown} failed with {result:?} and changed something");
			}
			assert!(
				finalising || Balances::total_issuance() == issuance,
				"{shown} made funds"
			);
		}
	}
	let funds: u128 = frame_system::Account::<Test>::iter_values()
		.map(|account| account.data.free + account.data.reserved)
		.sum();
	assert_eq!(funds, Balances::total_issuance());
	assert!(funds <= Params::<Test>::get().max_supply);
	Peerz::check_invariants().unwrap();
}

proptest! {
	#![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, ..Default::default() })]

	#[test]
	fn invariants_hold_whatever_people_do(
		beginning in proptest::collection::vec((1..=10u8, 0..3u8), 4..12),
		actions in proptest::collection::vec(action(), 40..120),
	) {
		new_test_ext().execute_with(|| {
			with_parameters(|p| {
				p.assign_all_up_to = 3;
				p.assigned = 2;
				p.class_hold = 2;
				p.breaker_floor = 1;
			});
			for (n, kind) in beginning {
				match kind {
					0 => {
						act(Action::Bind(n, 1_000_000));
						act(Action::Provider(n));
					},
					1 => {
						act(Action::Bond(n, DEVELOPER, 200));
						act(Action::Join(n, DEVELOPER));
					},
					_ => {
						act(Action::Bond(n, VALIDATOR, 1_000 + 100 * u16::from(n)));
						act(Action::Validator(n));
					},
				}
			}
			actions.into_iter().for_each(act);
			let epoch = CurrentEpoch::<Test>::get();
			prop_assert!(epoch.index >= 1 && NextSlot::<Test>::get() <= MaxSubjects::get());
			Ok(())
		})?;
	}
}
