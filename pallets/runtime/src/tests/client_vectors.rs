//! What the Python client makes, made again from the runtime's own types: calls, storage keys, signed payloads, bindings.
//!
//! The vectors lie in `tests/vectors` and are written by `tests/chain_client/test_call_vectors.py` and `test_binding.py`.

use codec::{Decode, Encode};
use pallet_peerz::{
	bindings::{BINDING_DOMAIN, ED25519, SR25519},
	types::{Entry, LeafProof, ModelShape, Receipt, RoleKind, RoleTerms, SessionLeaf, SignedReceipt},
	Call as PeerzCall, Parameters,
};
use serde_json::Value;
use sp_core::{ed25519, Pair, H256};
use sp_keyring::Sr25519Keyring::{Alice, Bob};
use sp_runtime::{generic::Era, traits::Zero};

use super::{account, transfer};
use crate::{Peerz, Runtime, RuntimeCall, SignedPayload, TxExtension};

const PRZ: u128 = crate::PRZ;

fn vectors(name: &str) -> Value {
	let path = format!("{}/../../tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
	serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors")).expect("JSON")
}

fn bytes(value: &Value) -> Vec<u8> {
	let digits = value.as_str().expect("a string");
	assert!(digits.len().is_multiple_of(2), "whole bytes");
	(0..digits.len())
		.step_by(2)
		.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits"))
		.collect()
}

fn hash(value: &Value) -> H256 {
	H256::from_slice(&bytes(value))
}

fn h(byte: u8) -> H256 {
	H256::repeat_byte(byte)
}

const TERMS: RoleTerms = RoleTerms {
	enabled: true,
	floor: 1,
	ceiling: 2,
	min_bond: 3 * PRZ,
	target_use: 4,
};

/// Every field its own number, in the order of the fields.
fn numbered_parameters() -> Parameters {
	Parameters {
		commit_blocks: 1,
		reveal_blocks: 2,
		epoch_blocks: 3,
		idle_steps: 4,
		review_epochs: 5,
		vote_reviews: 6,
		min_vote: 7,
		vote_unlock_epochs: 8,
		voter_cap: 9,
		vote_quorum: 10,
		weight_step: 11,
		assigned: 12,
		assign_all_up_to: 13,
		validator_cap: 14,
		tolerance: 15,
		bondless_start: 16,
		bondless_step: 17,
		bondless_max: 18,
		bond_per_unit: 19,
		withheld_epochs: 20,
		unbonding_epochs: 21,
		dispute_epochs: 22,
		slash_delay: 23,
		jail_epochs: 24,
		equivocation_slash: 25,
		hidden_row_slash: 26,
		reproduced_slash: 27,
		reporter_share: 28,
		incident_cap: 29,
		day_cap: 30,
		month_cap: 31,
		day_epochs: 32,
		breaker_floor: 33,
		class_hold: 34,
		subject_deposit: 35,
		model_deposit: 36,
		key_deposit: 37,
		dispute_deposit: 38,
		max_binding_seconds: 39,
		emission: 40,
		halving_epochs: 41,
		max_supply: 42,
	}
}

fn receipt(signature: u8) -> SignedReceipt {
	let receipt = Receipt {
		seq: 1,
		position: 2,
		n_tokens: 3,
		kind: 4,
		in_hash: [5; 32],
		out_hash: [6; 32],
		in_chain: [7; 32],
	};
	SignedReceipt {
		receipt,
		signature: [signature; 64],
	}
}

fn leaf_proof(position: u32, siblings: Vec<H256>) -> LeafProof {
	LeafProof {
		leaf: SessionLeaf {
			session: core::array::from_fn(|at| at as u8),
			units: 9,
			receipts: h(1),
		},
		position,
		siblings: siblings.try_into().expect("fits"),
	}
}

fn row() -> Vec<Entry> {
	vec![
		Entry {
			member: 1,
			units: 2,
			capacity: 3,
			faults: 4,
		},
		Entry {
			member: 5,
			units: 6,
			capacity: u64::MAX,
			faults: 8,
		},
	]
}

/// The call of each vector. Arms are in the order of the pallet's calls.
fn call(name: &str) -> RuntimeCall {
	let made: PeerzCall<Runtime> = match name {
		"transfer" => return transfer(Bob, 12_345_678_901_234),
		"sudo" => {
			let call = Box::new(PeerzCall::<Runtime>::pause {}.into());
			return pallet_sudo::Call::<Runtime>::sudo { call }.into();
		}
		"set_parameters" => PeerzCall::set_parameters {
			parameters: numbered_parameters(),
		},
		"pause" => PeerzCall::pause {},
		"resume" => PeerzCall::resume {},
		"add_role" => PeerzCall::add_role {
			name: b"artists".to_vec(),
			kind: RoleKind::Member,
			terms: TERMS,
		},
		"change_role" => PeerzCall::change_role { role: 4, terms: TERMS },
		"spend_treasury" => PeerzCall::spend_treasury {
			to: account(Bob),
			amount: PRZ * PRZ,
		},
		"bond" => PeerzCall::bond { role: 1, amount: 100 },
		"unbond" => PeerzCall::unbond {
			role: 1,
			amount: u128::MAX,
		},
		"withdraw_unbonded" => PeerzCall::withdraw_unbonded { role: 1 },
		"register_provider" => PeerzCall::register_provider {},
		"register_validator" => PeerzCall::register_validator { seed_chain: h(1) },
		"set_seed_chain" => PeerzCall::set_seed_chain { seed_chain: h(2) },
		"register_model" => PeerzCall::register_model {
			root: h(3),
			shape: ModelShape {
				blocks: 30,
				params_per_block: 3_540_000,
				d_model: 576,
			},
		},
		"join_role" => PeerzCall::join_role { role: 3 },
		"leave" => PeerzCall::leave { index: 7 },
		"release" => PeerzCall::release { index: u32::MAX },
		"bind_node_key" => PeerzCall::bind_node_key {
			node_key: [1; 32],
			expiry: 1_800_000_000,
			account_signature: [2; 64],
			node_signature: [3; 64],
		},
		"retire_node_key" => PeerzCall::retire_node_key {},
		"release_node_key" => PeerzCall::release_node_key { node_key: [4; 32] },
		"vote" => PeerzCall::vote {
			shares: vec![(0, 6_000), (2, 4_000)].try_into().expect("fits"),
			amount: 50,
			evict: None,
		},
		"vote_evicting" => PeerzCall::vote {
			shares: vec![(0, 10_000)].try_into().expect("fits"),
			amount: 60,
			evict: Some(account(Bob)),
		},
		"remove_vote" => PeerzCall::remove_vote {},
		"unlock_vote" => PeerzCall::unlock_vote {},
		"submit_work_root" => PeerzCall::submit_work_root {
			root: h(5),
			sessions: 9,
		},
		"commit" => PeerzCall::commit { commitment: h(6) },
		"reveal" | "reveal_nothing" => PeerzCall::reveal {
			row: if name == "reveal" { row() } else { vec![] }.try_into().expect("fits"),
			evidence_root: h(1),
			salt: h(2),
			link: h(3),
		},
		"finalise" => PeerzCall::finalise {},
		"claim" => PeerzCall::claim { epoch: 3, index: 7 },
		"plant_fault" => PeerzCall::plant_fault { commitment: h(8) },
		"show_plant" => PeerzCall::show_plant { index: 5, salt: h(9) },
		"report_equivocation" => PeerzCall::report_equivocation {
			node_key: [1; 32],
			session: core::array::from_fn(|at| at as u8),
			first: receipt(1),
			second: receipt(2),
		},
		"open_dispute" => PeerzCall::open_dispute {
			index: 3,
			evidence: h(1),
			kernel_class: h(2),
		},
		"judge_dispute" => PeerzCall::judge_dispute {
			index: 3,
			reproduced: true,
		},
		"close_dispute" => PeerzCall::close_dispute { index: 3 },
		"apply_slash" => PeerzCall::apply_slash { id: 11 },
		"cancel_slash" => PeerzCall::cancel_slash { id: 12 },
		"resolve_held" => PeerzCall::resolve_held { index: 3, slash: false },
		"refute_work_root" => PeerzCall::refute_work_root {
			epoch: 3,
			index: 7,
			first: leaf_proof(0, vec![h(2), h(3)]),
			second: leaf_proof(5, vec![]),
		},
		other => panic!("no call for the vector {other}"),
	};
	made.into()
}

/// The storage key of each vector.
fn key(item: &str) -> Vec<u8> {
	use pallet_peerz as p;
	let alice = account(Alice);
	match item {
		"Params" => p::Params::<Runtime>::hashed_key().to_vec(),
		"PausedSince" => p::PausedSince::<Runtime>::hashed_key().to_vec(),
		"Roles" => p::Roles::<Runtime>::hashed_key_for(1),
		"NextRole" => p::NextRole::<Runtime>::hashed_key().to_vec(),
		"RoleWeights" => p::RoleWeights::<Runtime>::hashed_key().to_vec(),
		"Subjects" => p::Subjects::<Runtime>::hashed_key_for(7),
		"SubjectCount" => p::SubjectCount::<Runtime>::hashed_key().to_vec(),
		"NextSlot" => p::NextSlot::<Runtime>::hashed_key().to_vec(),
		"FreeSlots" => p::FreeSlots::<Runtime>::hashed_key_for(2),
		"FreeSlotCount" => p::FreeSlotCount::<Runtime>::hashed_key().to_vec(),
		"Generations" => p::Generations::<Runtime>::hashed_key_for(7),
		"SlotOf" => p::SlotOf::<Runtime>::hashed_key_for(alice, 1),
		"Models" => p::Models::<Runtime>::hashed_key_for(h(1)),
		"ModelsOf" => p::ModelsOf::<Runtime>::hashed_key_for(alice),
		"ValidatorSlots" => p::ValidatorSlots::<Runtime>::hashed_key().to_vec(),
		"SeedChains" => p::SeedChains::<Runtime>::hashed_key_for(7),
		"Bonds" => p::Bonds::<Runtime>::hashed_key_for(alice, 1),
		"Accusations" => p::Accusations::<Runtime>::hashed_key_for(alice),
		"NodeKeys" => p::NodeKeys::<Runtime>::hashed_key_for([1; 32]),
		"NodeKeyOf" => p::NodeKeyOf::<Runtime>::hashed_key_for(alice),
		"CurrentEpoch" => p::CurrentEpoch::<Runtime>::hashed_key().to_vec(),
		"NextStep" => p::NextStep::<Runtime>::hashed_key().to_vec(),
		"CurrentBooks" => p::CurrentBooks::<Runtime>::hashed_key().to_vec(),
		"Seeds" => p::Seeds::<Runtime>::hashed_key_for(3),
		"EpochValidators" => p::EpochValidators::<Runtime>::hashed_key_for(3),
		"Attestations" => p::Attestations::<Runtime>::hashed_key_for(3, 4),
		"RowPages" => p::RowPages::<Runtime>::hashed_key_for((3, 2, 4)),
		"WorkRoots" => p::WorkRoots::<Runtime>::hashed_key_for(3, 7),
		"Plants" => p::Plants::<Runtime>::hashed_key_for(3),
		"Earnings" => p::Earnings::<Runtime>::hashed_key_for(3, 7),
		"Pools" => p::Pools::<Runtime>::hashed_key_for(3, 1),
		"Carried" => p::Carried::<Runtime>::hashed_key_for(1),
		"Obligations" => p::Obligations::<Runtime>::hashed_key().to_vec(),
		"ScarcityOf" => p::ScarcityOf::<Runtime>::hashed_key_for(1),
		"Votes" => p::Votes::<Runtime>::hashed_key_for(alice),
		// The counter of a counted map is no item of its own in Rust.
		"CounterForVotes" => frame_support::storage::storage_prefix(b"Peerz", b"CounterForVotes").to_vec(),
		"VoteLocked" => p::VoteLocked::<Runtime>::hashed_key().to_vec(),
		"ReviewNumber" => p::ReviewNumber::<Runtime>::hashed_key().to_vec(),
		"NextReview" => p::NextReview::<Runtime>::hashed_key().to_vec(),
		"Reviews" => p::Reviews::<Runtime>::hashed_key_for(5),
		"PendingSlashes" => p::PendingSlashes::<Runtime>::hashed_key_for(5),
		"NextSlash" => p::NextSlash::<Runtime>::hashed_key().to_vec(),
		"SlashedOf" => p::SlashedOf::<Runtime>::hashed_key_for(alice, 1),
		"SlashRate" => p::SlashRate::<Runtime>::hashed_key().to_vec(),
		"Disputes" => p::Disputes::<Runtime>::hashed_key_for(7),
		"ClassFaults" => p::ClassFaults::<Runtime>::hashed_key_for(3, h(1)),
		other => panic!("no key for the vector {other}"),
	}
}

#[test]
fn calls_are_the_bytes_that_the_client_makes() {
	let vectors = vectors("chain_calls");
	let calls = vectors["calls"].as_object().expect("an object");
	for (name, encoded) in calls {
		let (encoded, made) = (bytes(encoded), call(name));
		assert_eq!(made.encode(), encoded, "{name}");
		assert_eq!(RuntimeCall::decode(&mut encoded.as_slice()), Ok(made), "{name}");
	}
	assert!(calls.len() > 37, "every call of the pallet is among them");
}

#[test]
fn storage_keys_are_those_that_the_client_asks_for() {
	let vectors = vectors("chain_calls");
	let keys = vectors["keys"].as_object().expect("an object");
	for (item, encoded) in keys {
		assert_eq!(key(item), bytes(encoded), "{item}");
	}
}

#[test]
fn what_is_signed_is_what_the_client_signs() {
	for vector in vectors("chain_calls")["payloads"].as_array().expect("a list") {
		let number = |name: &str| vector[name].as_u64().expect("a number");
		let tip: u128 = vector["tip"].as_str().expect("a string").parse().expect("a number");
		let call = RuntimeCall::decode(&mut bytes(&vector["call"]).as_slice()).expect("a call");
		let extension: TxExtension = (
			frame_system::CheckNonZeroSender::new(),
			frame_system::CheckSpecVersion::new(),
			frame_system::CheckTxVersion::new(),
			frame_system::CheckGenesis::new(),
			frame_system::CheckMortality::from(Era::mortal(number("period"), number("current"))),
			frame_system::CheckNonce::from(number("nonce") as u32),
			frame_system::CheckWeight::new(),
			pallet_transaction_payment::ChargeTransactionPayment::from(tip),
		);
		let implicit = (
			(),
			number("spec_version") as u32,
			number("transaction_version") as u32,
			hash(&vector["genesis"]),
			hash(&vector["era_block"]),
			(),
			(),
			(),
		);
		let payload = SignedPayload::from_raw(call, extension, implicit);
		payload.using_encoded(|signed| assert_eq!(signed, bytes(&vector["signed"])));
	}
}

#[test]
fn bindings_are_signed_as_the_pallet_checks_them() {
	let vector = vectors("bindings");
	sp_io::TestExternalities::default().execute_with(|| {
		frame_system::BlockHash::<Runtime>::insert(u32::zero(), hash(&vector["genesis"]));
		assert_eq!(vector["domain"].as_str().map(str::as_bytes), Some(BINDING_DOMAIN));
		let node_key: [u8; 32] = bytes(&vector["node_key"]).try_into().expect("32 bytes");
		let expiry = vector["expiry"].as_u64().expect("a number");
		assert_eq!(account(Alice).encode(), bytes(&vector["account"]));
		let body = Peerz::binding_body(&account(Alice), &node_key, expiry);
		let by_account = Peerz::signed_payload(BINDING_DOMAIN, SR25519, &body);
		let by_node = Peerz::signed_payload(BINDING_DOMAIN, ED25519, &body);
		assert_eq!(by_account, bytes(&vector["account_payload"]));
		assert_eq!(by_node, bytes(&vector["node_payload"]));
		let signature: [u8; 64] = bytes(&vector["node_signature"]).try_into().expect("64 bytes");
		assert!(ed25519::Pair::verify(
			&ed25519::Signature::from_raw(signature),
			by_node,
			&ed25519::Public::from_raw(node_key)
		));
	});
}
