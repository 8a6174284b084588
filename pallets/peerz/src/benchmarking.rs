//! What the functions of `WeightInfo` are measured with: for each, the dearest of the calls and steps that it stands for.
//!
//! States are written straight into the storage, at the sizes that the bounds allow.

use crate::{
	bindings::{BINDING_DOMAIN, ED25519, SR25519},
	disputes::RECEIPT_DOMAIN,
	epochs::PURGED,
	pallet::{Pallet as Peerz, *},
	params::PRZ,
	types::*,
};
use alloc::{vec, vec::Vec};
use codec::Decode;
use frame_benchmarking::v2::*;
use frame_support::{
	pallet_prelude::EnsureOrigin,
	traits::{fungible::Mutate as _, Get, UnixTime},
	BoundedVec,
};
use frame_system::{pallet_prelude::BlockNumberFor, RawOrigin};
use peerz_consensus::{commit::commit_hash, seed::link};
use sp_core::{crypto::KeyTypeId, ed25519, sr25519, H256};

/// The epoch whose work is attested, late enough for an old one to leave the history.
const WORK: EpochIndex = 1_000;
const STAKE: Balance = 100_000 * PRZ;
const KEYS: KeyTypeId = KeyTypeId(*b"peer");

fn person<T: Config>(name: &'static str, number: u32) -> T::AccountId {
	let account = account(name, number, 0);
	T::Currency::set_balance(&account, 1_000 * STAKE);
	account
}

fn governance<T: Config>() -> Result<T::RuntimeOrigin, BenchmarkError> {
	T::GovernanceOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)
}

/// The epoch in which the work of `WORK` is attested, in a phase.
fn set_phase<T: Config>(phase: Phase) {
	let now = frame_system::Pallet::<T>::block_number();
	CurrentEpoch::<T>::put(Epoch {
		index: WORK + 1,
		phase,
		started: now,
		phase_end: now,
	});
	Seeds::<T>::insert(WORK, H256::repeat_byte(3));
}

fn subject<T: Config>(index: SubjectIndex, account: T::AccountId, role: RoleId) {
	Subjects::<T>::insert(
		index,
		Subject {
			account: account.clone(),
			role,
			generation: 0,
			registered: 0,
			deposit: 0,
			left: None,
			jailed_until: 0,
			clean_epochs: 0,
			last_fault: None,
		},
	);
	SlotOf::<T>::insert(&account, role, index);
	Bonds::<T>::insert(
		&account,
		role,
		Bond {
			active: STAKE,
			unbonding: Default::default(),
		},
	);
	NextSlot::<T>::mutate(|next| *next = (*next).max(index + 1));
}

/// The slots from which validators are put: behind all others.
const VALIDATORS_FROM: SubjectIndex = 2 * MAX_ROW;

/// `count` validators, frozen for `WORK` and the epochs around it.
fn validators<T: Config>(count: u32) -> Vec<T::AccountId> {
	let accounts: Vec<T::AccountId> = (0..count).map(|number| person::<T>("validator", number)).collect();
	let mut frozen = BoundedVec::default();
	let mut slots = BoundedVec::default();
	for (index, account) in (VALIDATORS_FROM..).zip(&accounts) {
		subject::<T>(index, account.clone(), VALIDATOR);
		SeedChains::<T>::insert(
			index,
			SeedChain {
				tip: H256(link(&[9; 32])),
				next: None,
			},
		);
		let validator = FrozenValidator {
			account: account.clone(),
			index,
			generation: 0,
			stake: STAKE,
		};
		let _ = frozen.try_push(validator);
		let _ = slots.try_push(index);
	}
	ValidatorSlots::<T>::put(slots);
	for epoch in WORK..WORK + 3 {
		EpochValidators::<T>::insert(epoch, &frozen);
	}
	accounts
}

fn providers<T: Config>(count: u32) {
	for index in 0..count {
		subject::<T>(index, account("provider", index, 0), COMPUTE);
	}
}

fn entry(member: SubjectIndex) -> Entry {
	Entry {
		member,
		units: 1_000 + u64::from(member),
		capacity: 10_000,
		faults: 0,
	}
}

fn step<T: Config>(step: Step) {
	set_phase::<T>(Phase::Finalise);
	NextStep::<T>::put(step);
}

fn books<T: Config>(validators: u32, revealed: bool) {
	let mut books = Books::default();
	for _ in 0..validators {
		let _ = books.measurements.try_push(Measurement {
			revealed,
			..Default::default()
		});
	}
	for _ in 0..NextRole::<T>::get() {
		let _ = books.tallies.try_push(Tally {
			points: 1_000,
			served: 500,
			capacity: 1_000,
		});
	}
	CurrentBooks::<T>::put(books);
}

fn attestation() -> Attestation {
	let revealed = Revealed {
		evidence_root: H256::zero(),
		link: H256::repeat_byte(9),
	};
	Attestation {
		commitment: H256::zero(),
		revealed: Some(revealed),
	}
}

/// As many roles as there can be.
fn fill_roles<T: Config>() {
	let Some(terms) = Roles::<T>::get(DEVELOPER).map(|role| role.terms) else {
		return;
	};
	while u32::from(NextRole::<T>::get()) < MAX_ROLES {
		if Peerz::<T>::do_add_role(vec![b'r'], RoleKind::Member, RoleTerms { floor: 0, ..terms }).is_err() {
			return;
		}
	}
}

/// `count` votes, each by another account.
fn votes<T: Config>(count: u32) -> Result<(), BenchmarkError> {
	for number in 0..count {
		Peerz::<T>::do_vote(person::<T>("voter", number), shares()?, 100 * PRZ, None)?;
	}
	Ok(())
}

fn shares() -> Result<RoleShares, BenchmarkError> {
	RoleShares::try_from(vec![
		(COMPUTE, 6_000),
		(VALIDATOR, 2_000),
		(MODEL, 1_000),
		(DEVELOPER, 1_000),
	])
	.map_err(|_| BenchmarkError::Stop("a vote of four roles fits"))
}

fn node_signature(key: &ed25519::Public, payload: &[u8]) -> Result<Signature, BenchmarkError> {
	let signature = sp_io::crypto::ed25519_sign(KEYS, key, payload);
	Ok(signature.ok_or(BenchmarkError::Stop("the host signs"))?.0)
}

fn signed_receipt<T: Config>(
	key: &ed25519::Public,
	session: &SessionId,
	out: u8,
) -> Result<SignedReceipt, BenchmarkError> {
	let receipt = Receipt {
		seq: 7,
		position: 0,
		n_tokens: 1,
		kind: 0,
		in_hash: [1; 32],
		out_hash: [out; 32],
		in_chain: [2; 32],
	};
	let payload = Peerz::<T>::signed_payload(RECEIPT_DOMAIN, ED25519, &receipt.body(session));
	Ok(SignedReceipt {
		receipt,
		signature: node_signature(key, &payload)?,
	})
}

#[benchmarks]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn govern() -> Result<(), BenchmarkError> {
		T::Currency::set_balance(&Peerz::<T>::treasury(), STAKE);
		let to: T::AccountId = account("spender", 0, 0);
		let origin = governance::<T>()?;
		#[extrinsic_call]
		spend_treasury(origin as T::RuntimeOrigin, to, PRZ);
		Ok(())
	}

	#[benchmark]
	fn bond() {
		let who = person::<T>("bonder", 0);
		#[extrinsic_call]
		bond(RawOrigin::Signed(who.clone()), COMPUTE, STAKE);
		assert_eq!(Peerz::<T>::active_bond(&who, COMPUTE), STAKE);
	}

	#[benchmark]
	fn register() -> Result<(), BenchmarkError> {
		let who = person::<T>("validator", 0);
		Peerz::<T>::do_bond(who.clone(), VALIDATOR, STAKE)?;
		#[extrinsic_call]
		register_validator(RawOrigin::Signed(who.clone()), H256::repeat_byte(1));
		assert!(SlotOf::<T>::contains_key(who, VALIDATOR));
		Ok(())
	}

	#[benchmark]
	fn bind_node_key() -> Result<(), BenchmarkError> {
		let account_key = sp_io::crypto::sr25519_generate(KEYS, None);
		let node_key = sp_io::crypto::ed25519_generate(KEYS, None);
		let who = T::AccountId::decode(&mut account_key.0.as_slice())
			.map_err(|_| BenchmarkError::Stop("an account is an sr25519 key"))?;
		T::Currency::set_balance(&who, STAKE);
		let expiry = T::UnixTime::now().as_secs() + 1_000;
		let body = Peerz::<T>::binding_body(&who, &node_key.0, expiry);
		let by_account = Peerz::<T>::signed_payload(BINDING_DOMAIN, SR25519, &body);
		let by_account: sr25519::Signature = sp_io::crypto::sr25519_sign(KEYS, &account_key, &by_account)
			.ok_or(BenchmarkError::Stop("the host signs"))?;
		let by_node = node_signature(&node_key, &Peerz::<T>::signed_payload(BINDING_DOMAIN, ED25519, &body))?;
		#[extrinsic_call]
		bind_node_key(
			RawOrigin::Signed(who.clone()),
			node_key.0,
			expiry,
			by_account.0,
			by_node,
		);
		assert_eq!(NodeKeyOf::<T>::get(who), Some(node_key.0));
		Ok(())
	}

	#[benchmark]
	fn vote() -> Result<(), BenchmarkError> {
		votes::<T>(T::MaxVoters::get())?;
		let who = person::<T>("newcomer", 0);
		let victim = account("voter", 0, 0);
		#[extrinsic_call]
		vote(RawOrigin::Signed(who.clone()), shares()?, STAKE, Some(victim));
		assert!(Votes::<T>::contains_key(who));
		Ok(())
	}

	#[benchmark]
	fn commit() -> Result<(), BenchmarkError> {
		let accounts = validators::<T>(MAX_VALIDATORS);
		set_phase::<T>(Phase::Commit);
		let who = accounts
			.last()
			.cloned()
			.ok_or(BenchmarkError::Stop("there are validators"))?;
		#[extrinsic_call]
		commit(RawOrigin::Signed(who), H256::repeat_byte(4));
		assert!(Attestations::<T>::contains_key(WORK, (MAX_VALIDATORS - 1) as Slot));
		Ok(())
	}

	#[benchmark]
	fn reveal(e: Linear<0, MAX_ROW>, v: Linear<1, MAX_VALIDATORS>) -> Result<(), BenchmarkError> {
		let accounts = validators::<T>(v);
		// Each is assigned to all but one validator: whoever is assigned has to be ranked, and rows are as long as they get.
		providers::<T>(VALIDATORS_FROM);
		Params::<T>::mutate(|params| (params.assign_all_up_to, params.assigned) = (0, v.max(2) - 1));
		set_phase::<T>(Phase::Reveal);
		let who = accounts
			.last()
			.cloned()
			.ok_or(BenchmarkError::Stop("there are validators"))?;
		let mine = Peerz::<T>::subjects_attested_by(WORK, &who);
		let entries: Vec<Entry> = mine.into_iter().take(e as usize).map(entry).collect();
		let row = Row::try_from(entries).map_err(|_| BenchmarkError::Stop("the row fits"))?;
		let (evidence, salt) = (H256::repeat_byte(5), H256::repeat_byte(6));
		let commitment = commit_hash(&Peerz::<T>::genesis_hash(), WORK, &who, &(&row, evidence), &salt.0);
		let slot = (v - 1) as Slot;
		let committed = Attestation {
			commitment: H256(commitment),
			revealed: None,
		};
		Attestations::<T>::insert(WORK, slot, committed);
		#[extrinsic_call]
		reveal(RawOrigin::Signed(who), row, evidence, salt, H256::repeat_byte(9));
		assert!(Attestations::<T>::get(WORK, slot).is_some_and(|it| it.revealed.is_some()));
		Ok(())
	}

	#[benchmark]
	fn finalise_subjects(s: Linear<0, PAGE>, v: Linear<1, MAX_VALIDATORS>) -> Result<(), BenchmarkError> {
		let accounts = validators::<T>(v);
		providers::<T>(s);
		// All but one, so that everybody has to be ranked.
		Params::<T>::mutate(|params| (params.assign_all_up_to, params.assigned) = (0, v.max(2) - 1));
		step::<T>(Step::Subjects(0));
		books::<T>(v, true);
		let page = RowPage::try_from((0..s).map(entry).collect::<Vec<_>>())
			.map_err(|_| BenchmarkError::Stop("the page fits"))?;
		for slot in 0..v {
			RowPages::<T>::insert((WORK, 0, slot as Slot), &page);
		}
		#[extrinsic_call]
		finalise(RawOrigin::Signed(accounts[0].clone()));
		assert_eq!(Earnings::<T>::iter_prefix(WORK).count() as u32, s);
		Ok(())
	}

	/// The three steps over validators, one after the other, each over all of them.
	#[benchmark]
	fn finalise_validators(v: Linear<1, MAX_VALIDATORS>) -> Result<(), BenchmarkError> {
		let accounts = validators::<T>(v);
		for slot in 0..v {
			Attestations::<T>::insert(WORK, slot as Slot, attestation());
		}
		step::<T>(Step::Seal);
		#[block]
		{
			Peerz::<T>::do_finalise()?;
			// Hidden rows: to accuse is dearer than to pay.
			books::<T>(v, false);
			for page in 0..v.div_ceil(VALIDATOR_PAGE) {
				NextStep::<T>::put(Step::Validators(page));
				Peerz::<T>::do_finalise()?;
			}
			NextStep::<T>::put(Step::Freeze);
			Peerz::<T>::do_finalise()?;
		}
		assert_eq!(CurrentEpoch::<T>::get().phase, Phase::Open);
		assert_eq!(Accusations::<T>::get(&accounts[0]), 1);
		Ok(())
	}

	#[benchmark]
	fn review(n: Linear<0, { T::MaxVoters::get() }>) -> Result<(), BenchmarkError> {
		fill_roles::<T>();
		votes::<T>(n)?;
		step::<T>(Step::Review);
		NextReview::<T>::put(0);
		let who = person::<T>("driver", 0);
		#[extrinsic_call]
		finalise(RawOrigin::Signed(who));
		assert_eq!(ReviewNumber::<T>::get(), 1);
		Ok(())
	}

	#[benchmark]
	fn purge(k: Linear<0, { 4 * PURGED }>) -> Result<(), BenchmarkError> {
		step::<T>(Step::Purge);
		let old = WORK - T::HistoryDepth::get();
		let account: T::AccountId = account("provider", 0, 0);
		for number in 0..k / 4 {
			let earning = Earning {
				account: account.clone(),
				role: COMPUTE,
				generation: 0,
				points: 1,
				payable: old,
				withheld: false,
				claimed: false,
			};
			Earnings::<T>::insert(old, number, earning);
			let root = WorkRoot {
				generation: 0,
				root: H256::repeat_byte(1),
				sessions: 1,
			};
			WorkRoots::<T>::insert(old, number, root);
			Attestations::<T>::insert(old, number as Slot, attestation());
			ClassFaults::<T>::insert(old, H256::from_low_u64_be(number.into()), 1);
		}
		let who = person::<T>("driver", 0);
		#[extrinsic_call]
		finalise(RawOrigin::Signed(who));
		assert_eq!(Earnings::<T>::iter_prefix(old).count(), 0);
		Ok(())
	}

	#[benchmark]
	fn close() -> Result<(), BenchmarkError> {
		fill_roles::<T>();
		step::<T>(Step::Close);
		books::<T>(0, true);
		let old = WORK - T::HistoryDepth::get();
		for role in 0..NextRole::<T>::get() {
			Pools::<T>::insert(
				old,
				role,
				Pool {
					total: PRZ,
					claimed: 0,
					points: 1,
				},
			);
			Obligations::<T>::mutate(|sum| *sum += PRZ);
		}
		T::Currency::set_balance(&Peerz::<T>::pot(), STAKE);
		let who = person::<T>("driver", 0);
		#[extrinsic_call]
		finalise(RawOrigin::Signed(who));
		assert!(!Pools::<T>::contains_key(old, COMPUTE));
		assert!(Pools::<T>::contains_key(WORK, COMPUTE));
		Ok(())
	}

	#[benchmark]
	fn claim() -> Result<(), BenchmarkError> {
		let who = person::<T>("provider", 0);
		subject::<T>(0, who.clone(), COMPUTE);
		set_phase::<T>(Phase::Open);
		T::Currency::set_balance(&Peerz::<T>::pot(), STAKE);
		Obligations::<T>::put(PRZ);
		Pools::<T>::insert(
			WORK,
			COMPUTE,
			Pool {
				total: PRZ,
				claimed: 0,
				points: 1,
			},
		);
		let earning = Earning {
			account: who.clone(),
			role: COMPUTE,
			generation: 0,
			points: 1,
			payable: WORK,
			withheld: true,
			claimed: false,
		};
		Earnings::<T>::insert(WORK, 0, earning);
		#[extrinsic_call]
		claim(RawOrigin::Signed(who), WORK, 0);
		assert_eq!(Obligations::<T>::get(), 0);
		Ok(())
	}

	#[benchmark]
	fn report() -> Result<(), BenchmarkError> {
		let key = sp_io::crypto::ed25519_generate(KEYS, None);
		let accused = person::<T>("provider", 0);
		subject::<T>(0, accused.clone(), COMPUTE);
		set_phase::<T>(Phase::Open);
		let record = KeyRecord {
			account: accused.clone(),
			expiry: u64::MAX,
			deposit: 0,
			retired: None,
			burnt: false,
		};
		NodeKeys::<T>::insert(key.0, record);
		NodeKeyOf::<T>::insert(&accused, key.0);
		let session = [8; 16];
		let (first, second) = (
			signed_receipt::<T>(&key, &session, 1)?,
			signed_receipt::<T>(&key, &session, 2)?,
		);
		let who = person::<T>("reporter", 0);
		#[extrinsic_call]
		report_equivocation(RawOrigin::Signed(who), key.0, session, first, second);
		assert_eq!(Accusations::<T>::get(accused), 1);
		Ok(())
	}

	#[benchmark]
	fn dispute(v: Linear<4, MAX_VALIDATORS>) -> Result<(), BenchmarkError> {
		let accounts = validators::<T>(v);
		subject::<T>(0, person::<T>("provider", 0), COMPUTE);
		set_phase::<T>(Phase::Open);
		let opener = accounts[0].clone();
		Peerz::<T>::do_open_dispute(opener, 0, H256::repeat_byte(1), H256::repeat_byte(2))?;
		Seeds::<T>::insert(WORK + 2, H256::repeat_byte(7));
		CurrentEpoch::<T>::mutate(|epoch| epoch.index = WORK + 2);
		let opened = Disputes::<T>::get(0).ok_or(BenchmarkError::Stop("it was opened"))?;
		let panel = Peerz::<T>::panel(&opened)?;
		// The last voice decides, which is the dearest.
		for (_, member) in &panel[..2] {
			Peerz::<T>::do_judge_dispute(member.clone(), 0, true)?;
		}
		#[extrinsic_call]
		judge_dispute(RawOrigin::Signed(panel[2].1.clone()), 0, true);
		assert!(!Disputes::<T>::contains_key(0));
		Ok(())
	}

	#[benchmark]
	fn slash() -> Result<(), BenchmarkError> {
		let accused = person::<T>("provider", 0);
		Peerz::<T>::do_bond(accused.clone(), COMPUTE, STAKE)?;
		set_phase::<T>(Phase::Open);
		let pending = PendingSlash {
			account: accused.clone(),
			role: COMPUTE,
			fault: Fault::Equivocation,
			amount: 10 * PRZ,
			reporter: Some(person::<T>("reporter", 0)),
			due: WORK,
		};
		PendingSlashes::<T>::insert(0, pending);
		Accusations::<T>::insert(&accused, 1);
		let who = person::<T>("driver", 0);
		#[extrinsic_call]
		apply_slash(RawOrigin::Signed(who), 0);
		assert_eq!(Accusations::<T>::get(accused), 0);
		Ok(())
	}

	#[benchmark]
	fn on_initialize() {
		set_phase::<T>(Phase::Open);
		let now: BlockNumberFor<T> = frame_system::Pallet::<T>::block_number();
		#[block]
		{
			Peerz::<T>::tick(now);
		}
		assert_eq!(CurrentEpoch::<T>::get().index, WORK + 2);
	}

	impl_benchmark_test_suite!(Peerz, crate::benchmarking::test_externalities(), crate::mock::Test);
}

/// The mock's state, with a host that signs.
#[cfg(test)]
fn test_externalities() -> sp_io::TestExternalities {
	let mut externalities = crate::mock::new_test_ext();
	let keys = sp_keystore::testing::MemoryKeystore::new();
	externalities.register_extension(sp_keystore::KeystoreExt::new(keys));
	externalities
}
