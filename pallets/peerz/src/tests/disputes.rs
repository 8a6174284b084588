use crate::{
	bindings::BINDING_DOMAIN, disputes::RECEIPT_DOMAIN, mock::*, types::*, Accusations, Disputes, Error, Event,
	NodeKeys, PendingSlashes, Subjects, PRZ,
};
use codec::Encode;
use frame_support::{assert_noop, assert_ok, dispatch::DispatchResult};
use peerz_consensus::merkle;
use sp_core::{Pair, H256};
use sp_runtime::DispatchError;

const SESSION: SessionId = [4; 16];

fn root() -> RuntimeOrigin {
	RuntimeOrigin::root()
}

/// A receipt that person `n`'s node key signed.
fn receipt(n: u8, seq: u64, out: u8) -> SignedReceipt {
	let receipt = Receipt {
		seq,
		position: 7,
		n_tokens: 1,
		kind: 1,
		in_hash: [1; 32],
		out_hash: [out; 32],
		in_chain: [2; 32],
	};
	let payload = Peerz::signed_payload(RECEIPT_DOMAIN, 1, &receipt.body(&SESSION));
	SignedReceipt {
		receipt,
		signature: Person::new(n).node_pair.sign(&payload).0,
	}
}

fn report(n: u8, first: SignedReceipt, second: SignedReceipt) -> DispatchResult {
	Peerz::report_equivocation(signed(50), Person::new(n).node_key(), SESSION, first, second)
}

fn bonded_provider(n: u8) -> SubjectIndex {
	let index = provider(n);
	assert_ok!(Peerz::bond(signed(n), COMPUTE, 1_000 * PRZ));
	index
}

#[test]
fn equivocation_is_proved_by_two_receipts() {
	run(|| {
		let index = bonded_provider(9);
		assert_ok!(report(9, receipt(9, 5, 1), receipt(9, 5, 2)));
		let slash = PendingSlashes::<Test>::get(0).unwrap();
		assert_eq!((slash.amount, slash.fault), (200 * PRZ, Fault::Equivocation));
		assert_eq!(Subjects::<Test>::get(index).unwrap().jailed_until, 3);
		assert!(NodeKeys::<Test>::get(Person::new(9).node_key()).unwrap().burnt);
		assert_eq!(Peerz::bound_node_key(&account(9)), None);
	});
}

#[test]
fn what_a_fault_forfeits_is_not_paid_after_a_release() {
	run(|| {
		HistoryDepth::set(20);
		three_validators();
		let index = provider(9);
		to_epoch(3);
		agree(&[entry(index, 1_000)]);
		assert_eq!(Peerz::pending_rewards(&account(9)).len(), 1);
		assert_ok!(report(9, receipt(9, 5, 1), receipt(9, 5, 2)));
		assert_ok!(Peerz::leave(signed(9), index));
		assert!(Peerz::pending_rewards(&account(9)).is_empty());
		// The time after leaving is over, and nothing was bonded that a slash could wait for.
		to_epoch(10);
		assert_noop!(Peerz::release(signed(9), index), Error::<Test>::TooEarly);
		assert_noop!(Peerz::claim(signed(9), 2, index), Error::<Test>::Forfeited);
		to_epoch(3 + 20 + 2);
		assert_ok!(Peerz::release(signed(9), index));
		assert!(Peerz::claim(signed(9), 2, index).is_err());
	});
}

#[test]
fn a_report_must_prove_something() {
	run(|| {
		assert_noop!(
			report(9, receipt(9, 5, 1), receipt(9, 5, 2)),
			Error::<Test>::UnknownNodeKey
		);
		bonded_provider(9);
		assert_noop!(
			report(9, receipt(9, 5, 1), receipt(9, 6, 2)),
			Error::<Test>::DifferentSteps
		);
		assert_noop!(
			report(9, receipt(9, 5, 1), receipt(9, 5, 1)),
			Error::<Test>::SameReceipt
		);
		assert_noop!(
			report(9, receipt(9, 5, 1), receipt(8, 5, 2)),
			Error::<Test>::BadReceiptSignature
		);
		assert_ok!(report(9, receipt(9, 5, 1), receipt(9, 5, 2)));
		assert_noop!(
			report(9, receipt(9, 6, 1), receipt(9, 6, 2)),
			Error::<Test>::AlreadyReported
		);
	});
}

#[test]
fn a_retired_key_still_convicts() {
	run(|| {
		bonded_provider(9);
		assert_ok!(Peerz::retire_node_key(signed(9)));
		assert_ok!(report(9, receipt(9, 5, 1), receipt(9, 5, 2)));
		to_epoch(7);
		assert_noop!(
			Peerz::release_node_key(signed(9), Person::new(9).node_key()),
			Error::<Test>::NodeKeyTaken
		);
	});
}

#[test]
fn a_slash_waits_and_then_pays_the_reporter() {
	run(|| {
		bonded_provider(9);
		assert_ok!(report(9, receipt(9, 5, 1), receipt(9, 5, 2)));
		assert_noop!(Peerz::apply_slash(signed(40), 0), Error::<Test>::TooEarly);
		assert_noop!(Peerz::apply_slash(signed(40), 1), Error::<Test>::UnknownSlash);
		to_epoch(2);
		let (reporter, treasury) = (free(50), Balances::free_balance(Peerz::treasury()));
		assert_ok!(Peerz::apply_slash(signed(40), 0));
		assert_eq!(Peerz::bond_of(&account(9), COMPUTE), (800 * PRZ, 0));
		assert_eq!(free(50), reporter + 20 * PRZ);
		assert_eq!(Balances::free_balance(Peerz::treasury()), treasury + 180 * PRZ);
		assert_eq!(Accusations::<Test>::get(account(9)), 0);
	});
}

#[test]
fn nothing_leaves_while_a_slash_is_pending() {
	run(|| {
		let index = bonded_provider(9);
		assert_ok!(Peerz::unbond(signed(9), COMPUTE, 900 * PRZ));
		assert_ok!(Peerz::leave(signed(9), index));
		to_epoch(5);
		assert_ok!(report(9, receipt(9, 5, 1), receipt(9, 5, 2)));
		to_epoch(8);
		assert_noop!(Peerz::unbond(signed(9), COMPUTE, 1), Error::<Test>::Accused);
		assert_noop!(Peerz::withdraw_unbonded(signed(9), COMPUTE), Error::<Test>::Accused);
		assert_noop!(Peerz::release(signed(9), index), Error::<Test>::Accused);
		// What unbonds is slashed as well.
		assert_ok!(Peerz::apply_slash(signed(9), 0));
		assert_eq!(Peerz::bond_of(&account(9), COMPUTE), (0, 800 * PRZ));
		assert_ok!(Peerz::withdraw_unbonded(signed(9), COMPUTE));
		// The subject stays as long as there could be pay that the fault forfeited.
		to_epoch(5 + HistoryDepth::get() + 2);
		assert_ok!(Peerz::release(signed(9), index));
	});
}

#[test]
fn governance_cancels_a_slash() {
	run(|| {
		let index = bonded_provider(9);
		assert_ok!(report(9, receipt(9, 5, 1), receipt(9, 5, 2)));
		assert_noop!(Peerz::cancel_slash(signed(9), 0), DispatchError::BadOrigin);
		assert_ok!(Peerz::cancel_slash(root(), 0));
		assert_noop!(Peerz::cancel_slash(root(), 0), Error::<Test>::UnknownSlash);
		assert_eq!(Subjects::<Test>::get(index).unwrap().jailed_until, 0);
		assert_ok!(Peerz::unbond(signed(9), COMPUTE, 1));
	});
}

/// Binds person `n`'s node key to person 9's account.
fn bind_key_of(n: u8) {
	let other = Person::new(n);
	let expiry = START + 1_000_000;
	let body = Peerz::binding_body(&account(9), &other.node_key(), expiry);
	let payload = |algorithm| Peerz::signed_payload(BINDING_DOMAIN, algorithm, &body);
	let by_account = Person::new(9).account_pair.sign(&payload(2)).0;
	let by_node = other.node_pair.sign(&payload(1)).0;
	assert_ok!(Peerz::bind_node_key(
		signed(9),
		other.node_key(),
		expiry,
		by_account,
		by_node
	));
}

#[test]
fn one_cancelled_slash_does_not_acquit_of_another() {
	run(|| {
		let index = bonded_provider(9);
		assert_ok!(report(9, receipt(9, 5, 1), receipt(9, 5, 2)));
		bind_key_of(8);
		assert_ok!(report(8, receipt(8, 5, 1), receipt(8, 5, 2)));
		let jailed = || Subjects::<Test>::get(index).unwrap().jailed_until > 0;
		assert_ok!(Peerz::cancel_slash(root(), 0));
		assert!(jailed());
		assert_ok!(Peerz::cancel_slash(root(), 1));
		assert!(!jailed());
	});
}

#[test]
fn a_day_has_a_cap_on_slashes() {
	run(|| {
		with_parameters(|p| {
			p.day_cap = 2_500;
			p.breaker_floor = 100;
		});
		bonded_provider(9);
		assert_ok!(report(9, receipt(9, 5, 1), receipt(9, 5, 2)));
		to_epoch(2);
		assert_ok!(Peerz::apply_slash(signed(40), 0));
		// A second key, a second fault: 5 % of 1,000 are left for the day.
		bind_key_of(8);
		assert_ok!(report(8, receipt(8, 5, 1), receipt(8, 5, 2)));
		to_epoch(3);
		assert_ok!(Peerz::apply_slash(signed(40), 1));
		assert_eq!(Peerz::bond_of(&account(9), COMPUTE), (750 * PRZ, 0));
	});
}

#[test]
fn the_breaker_stops_a_flood_of_slashes() {
	run(|| {
		with_parameters(|p| p.breaker_floor = 1);
		for n in 10..15 {
			bonded_provider(n);
			assert_ok!(report(n, receipt(n, 5, 1), receipt(n, 5, 2)));
		}
		to_epoch(2);
		for id in 0..3 {
			assert_ok!(Peerz::apply_slash(signed(40), id));
		}
		assert_noop!(Peerz::apply_slash(signed(40), 3), Error::<Test>::BreakerOpen);
		assert_ok!(Peerz::apply_slash(root(), 3));
		to_epoch(3);
		assert_ok!(Peerz::apply_slash(signed(40), 4));
	});
}

#[test]
fn a_hidden_row_costs_a_little() {
	run(|| {
		three_validators();
		to_epoch(3);
		assert_ok!(Peerz::commit(signed(1), commitment(1, &[])));
		to_phase(Phase::Open);
		let slash = PendingSlashes::<Test>::get(0).unwrap();
		assert_eq!((slash.account, slash.amount), (account(1), PRZ));
		to_epoch(4);
		assert_ok!(Peerz::apply_slash(signed(40), 0));
		assert_eq!(Peerz::bond_of(&account(1), VALIDATOR), (999 * PRZ, 0));
	});
}

#[test]
fn a_bondless_equivocator_forfeits_what_was_withheld() {
	run(|| {
		three_validators();
		let index = provider(9);
		to_epoch(3);
		agree(&[entry(index, 1_000)]);
		assert_ok!(report(9, receipt(9, 5, 1), receipt(9, 5, 2)));
		to_epoch(4);
		assert_noop!(Peerz::claim(signed(9), 2, index), Error::<Test>::Forfeited);
		assert_eq!(PendingSlashes::<Test>::iter().count(), 0);
	});
}

// --- Work roots ---

fn leaf(session: u8) -> SessionLeaf {
	SessionLeaf {
		session: [session; 16],
		units: 100,
		receipts: H256::repeat_byte(session),
	}
}

/// Posts person 9's root over sessions, and returns a prover of its leaves.
fn post_root(sessions: &[u8]) -> impl Fn(u32) -> LeafProof {
	let leaves: Vec<SessionLeaf> = sessions.iter().map(|session| leaf(*session)).collect();
	let hashes: Vec<[u8; 32]> = leaves.iter().map(|leaf| merkle::leaf(&leaf.encode())).collect();
	let root = H256(merkle::root(&hashes));
	assert_ok!(Peerz::submit_work_root(signed(9), root, leaves.len() as u32));
	move |position| {
		let siblings = merkle::proof(&hashes, position).unwrap();
		LeafProof {
			leaf: leaves[position as usize],
			position,
			siblings: siblings.into_iter().map(H256).collect::<Vec<_>>().try_into().unwrap(),
		}
	}
}

#[test]
fn a_root_that_counts_a_session_twice_is_refuted() {
	run(|| {
		let index = bonded_provider(9);
		let prove = post_root(&[1, 2, 3, 2, 4]);
		let refute = |epoch, first, second| Peerz::refute_work_root(signed(50), epoch, index, first, second);
		assert_noop!(refute(2, prove(1), prove(3)), Error::<Test>::UnknownWorkRoot);
		assert_noop!(refute(1, prove(1), prove(1)), Error::<Test>::SameLeaf);
		assert_noop!(refute(1, prove(1), prove(2)), Error::<Test>::DifferentSessions);
		assert_ok!(refute(1, prove(1), prove(3)));
		let slash = PendingSlashes::<Test>::get(0).unwrap();
		assert_eq!((slash.fault, slash.amount), (Fault::InvalidRoot, 200 * PRZ));
		assert_noop!(refute(1, prove(1), prove(3)), Error::<Test>::UnknownWorkRoot);
	});
}

#[test]
fn an_honest_root_is_not_refuted_by_moved_proofs_or_inner_nodes() {
	run(|| {
		let index = bonded_provider(9);
		let prove = post_root(&[1, 2, 3, 4]);
		let refute = |first, second| Peerz::refute_work_root(signed(50), 1, index, first, second);
		// The same leaf at another place.
		assert_noop!(
			refute(
				prove(1),
				LeafProof {
					position: 3,
					..prove(1)
				}
			),
			Error::<Test>::BadProof
		);
		// A node in the place of a leaf, with a proof that is shorter by one: a second pre-image of the root.
		let proof = prove(0);
		let upper: Vec<H256> = proof.siblings.iter().skip(1).copied().collect();
		let short = LeafProof {
			position: 1,
			siblings: upper.try_into().unwrap(),
			..proof.clone()
		};
		assert_noop!(refute(proof, short), Error::<Test>::BadProof);
	});
}

#[test]
fn a_root_is_not_held_against_the_next_holder_of_a_slot() {
	run(|| {
		HistoryDepth::set(20);
		let index = provider(9);
		let prove = post_root(&[2, 2]);
		assert_ok!(Peerz::leave(signed(9), index));
		to_epoch(7);
		assert_ok!(Peerz::release(signed(9), index));
		assert_eq!(provider(10), index);
		assert_noop!(
			Peerz::refute_work_root(signed(50), 1, index, prove(0), prove(1)),
			Error::<Test>::UnknownSubject
		);
	});
}

// --- Disputes ---------------------------------------------------------------------------------------------------------

const CLASS: H256 = H256::repeat_byte(6);

/// Six validators and a disputed provider, when the panel can be drawn.
fn disputed(n: u8) -> (SubjectIndex, Vec<AccountId>) {
	let index = bonded_provider(n);
	open(index);
	to_epoch(now() + 1);
	to_phase(Phase::Open);
	(index, panel(index))
}

fn six_validators() {
	for n in 1..=6 {
		validator(n, 1_000 * PRZ);
	}
	to_epoch(2);
}

fn open(index: SubjectIndex) {
	assert_ok!(Peerz::open_dispute(signed(1), index, EVIDENCE, CLASS));
}

fn panel(index: SubjectIndex) -> Vec<AccountId> {
	let dispute = Disputes::<Test>::get(index).unwrap();
	Peerz::panel(&dispute)
		.unwrap()
		.into_iter()
		.map(|(_, account)| account)
		.collect()
}

fn judge(who: &AccountId, index: SubjectIndex, reproduced: bool) -> DispatchResult {
	Peerz::judge_dispute(RuntimeOrigin::signed(who.clone()), index, reproduced)
}

#[test]
fn a_panel_of_three_convicts_together() {
	run(|| {
		six_validators();
		let (index, panel) = disputed(9);
		assert_eq!(panel.len(), 3);
		assert!(!panel.contains(&account(1)));
		for member in &panel {
			assert_ok!(judge(member, index, true));
		}
		let slash = PendingSlashes::<Test>::get(0).unwrap();
		assert_eq!((slash.fault, slash.amount), (Fault::Reproduced, 50 * PRZ));
		assert!(Disputes::<Test>::get(index).is_none());
	});
}

#[test]
fn one_who_cannot_reproduce_it_acquits() {
	run(|| {
		six_validators();
		let (index, panel) = disputed(9);
		let before = free(1);
		assert_ok!(judge(&panel[0], index, true));
		assert_ok!(judge(&panel[1], index, false));
		assert_ok!(judge(&panel[2], index, true));
		assert_eq!(PendingSlashes::<Test>::iter().count(), 0);
		assert_eq!(free(1), before + 10 * PRZ);
	});
}

#[test]
fn two_who_cannot_reproduce_it_cost_the_opener_its_deposit() {
	run(|| {
		six_validators();
		let (index, panel) = disputed(9);
		let treasury = Balances::free_balance(Peerz::treasury());
		assert_ok!(judge(&panel[0], index, false));
		assert_ok!(judge(&panel[1], index, false));
		System::assert_last_event(Event::DisputeEnded { index, forfeited: true }.into());
		assert_eq!(Balances::free_balance(Peerz::treasury()), treasury + 10 * PRZ);
	});
}

#[test]
fn only_validators_dispute_and_only_providers_of_others() {
	run(|| {
		six_validators();
		let index = bonded_provider(9);
		let open = |n, index| Peerz::open_dispute(signed(n), index, EVIDENCE, CLASS);
		assert_noop!(open(9, index), Error::<Test>::NotAValidator);
		assert_noop!(open(1, 99), Error::<Test>::UnknownSubject);
		assert_noop!(open(1, 0), Error::<Test>::WrongRoleKind);
		let own = bonded_provider(1);
		assert_noop!(open(1, own), Error::<Test>::OwnSubject);
		assert_ok!(open(1, index));
		assert_noop!(open(2, index), Error::<Test>::DisputeExists);
	});
}

#[test]
fn a_panel_judges_once_each_and_in_time() {
	run(|| {
		six_validators();
		let index = bonded_provider(9);
		assert_noop!(judge(&account(2), index, true), Error::<Test>::UnknownDispute);
		open(index);
		assert_noop!(judge(&account(2), index, true), Error::<Test>::NoPanelYet);
		assert_noop!(Peerz::close_dispute(signed(9), index), Error::<Test>::TooEarly);
		to_epoch(3);
		to_phase(Phase::Open);
		let panel = panel(index);
		assert_noop!(judge(&account(1), index, true), Error::<Test>::NotOnPanel);
		assert_ok!(judge(&panel[0], index, true));
		assert_noop!(judge(&panel[0], index, true), Error::<Test>::AlreadyJudged);
		to_epoch(5);
		assert_noop!(judge(&panel[1], index, true), Error::<Test>::DisputeOver);
		assert_ok!(Peerz::close_dispute(signed(9), index));
		assert_noop!(Peerz::close_dispute(signed(9), index), Error::<Test>::UnknownDispute);
		assert_eq!(Accusations::<Test>::get(account(9)), 0);
	});
}

#[test]
fn a_disputed_bond_does_not_leave() {
	run(|| {
		six_validators();
		let index = bonded_provider(9);
		open(index);
		assert_noop!(Peerz::unbond(signed(9), COMPUTE, 1), Error::<Test>::Accused);
	});
}

#[test]
fn a_class_of_hardware_that_fails_at_once_is_held() {
	run(|| {
		with_parameters(|p| p.class_hold = 2);
		six_validators();
		let (first, second) = (bonded_provider(9), bonded_provider(10));
		open(first);
		open(second);
		to_epoch(3);
		to_phase(Phase::Open);
		for index in [first, second] {
			for member in panel(index) {
				assert_ok!(judge(&member, index, true));
			}
		}
		assert_eq!(PendingSlashes::<Test>::iter().count(), 1);
		assert_eq!(Disputes::<Test>::get(second).unwrap().status, DisputeStatus::Held);
		assert_noop!(judge(&account(2), second, true), Error::<Test>::DisputeHeld);
		assert_noop!(Peerz::close_dispute(signed(1), second), Error::<Test>::DisputeHeld);
		assert_noop!(Peerz::resolve_held(signed(1), second, true), DispatchError::BadOrigin);
		assert_noop!(Peerz::resolve_held(root(), 99, true), Error::<Test>::UnknownDispute);
		assert_ok!(Peerz::resolve_held(root(), second, true));
		assert_eq!(PendingSlashes::<Test>::iter().count(), 2);
	});
}

#[test]
fn only_what_is_held_is_resolved_by_governance() {
	run(|| {
		six_validators();
		let index = bonded_provider(9);
		open(index);
		assert_noop!(Peerz::resolve_held(root(), index, false), Error::<Test>::DisputeNotHeld);
	});
}

#[test]
fn the_jailed_earn_nothing_and_come_back() {
	run(|| {
		three_validators();
		let index = bonded_provider(9);
		to_epoch(3);
		assert_ok!(report(9, receipt(9, 5, 1), receipt(9, 5, 2)));
		for (epoch, paid) in [(3, false), (4, false), (5, false), (6, true)] {
			to_epoch(epoch);
			agree(&[entry(index, 1_000)]);
			assert_eq!(crate::Earnings::<Test>::contains_key(epoch - 1, index), paid, "{epoch}");
		}
	});
}
