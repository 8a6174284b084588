//! Bytes that the nodes' own code signed (`tests/vectors`): the chain must read them as they were meant.

use crate::{
	bindings::{BINDING_DOMAIN, ED25519, SR25519},
	disputes::RECEIPT_DOMAIN,
	mock::*,
	types::*,
};
use serde_json::Value;
use sp_core::H256;

fn vectors(text: &str) -> Value {
	serde_json::from_str(text).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
	let text = value.as_str().unwrap();
	let digits = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
	(0..text.len() / 2).map(digits).collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
	bytes(value).try_into().unwrap()
}

fn number(value: &Value) -> u64 {
	value.as_u64().unwrap()
}

/// Makes the mock a chain with this genesis hash.
fn on_chain(genesis: &Value) {
	frame_system::BlockHash::<Test>::insert(0, H256(array(genesis)));
}

#[test]
fn payloads_are_those_that_nodes_sign() {
	run(|| {
		let cases = vectors(include_str!("../../../../tests/vectors/signed_payloads.json"));
		for case in cases.as_array().unwrap() {
			on_chain(&case["network_id"]);
			let domain = case["domain"].as_str().unwrap().as_bytes();
			let payload = Peerz::signed_payload(domain, ED25519, &bytes(&case["body"]));
			assert_eq!(payload, bytes(&case["payload"]));
		}
	});
}

#[test]
fn receipts_are_read_as_nodes_sign_them() {
	run(|| {
		let all = vectors(include_str!("../../../../tests/vectors/receipts.json"));
		on_chain(&all["network_id"]);
		let node_key: NodeKey = array(&all["provider_key"]);
		let session: SessionId = array(&all["session_id"]);
		let steps = all["steps"].as_array().unwrap();
		assert!(!steps.is_empty());
		for step in steps {
			// The other fields of a receipt are in its body: seq, position, number of tokens, kind.
			let body = bytes(&step["body"]);
			let word = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
			let receipt = Receipt {
				seq: number(&step["seq"]),
				position: word(24),
				n_tokens: word(28),
				kind: body[32],
				in_hash: array(&step["in_hash"]),
				out_hash: array(&step["out_hash"]),
				in_chain: array(&step["in_chain"]),
			};
			assert_eq!(receipt.body(&session), body);
			let payload = Peerz::signed_payload(RECEIPT_DOMAIN, ED25519, &body);
			assert_eq!(payload, bytes(&step["payload"]));
			assert!(Peerz::node_signed(&node_key, &payload, &array(&step["signature"])));
		}
	});
}

#[test]
fn bindings_are_read_as_wallets_sign_them() {
	run(|| {
		let case = vectors(include_str!("../../../../tests/vectors/bindings.json"));
		on_chain(&case["genesis"]);
		assert_eq!(case["domain"].as_str().unwrap().as_bytes(), BINDING_DOMAIN);
		let account = AccountId::new(array(&case["account"]));
		let node_key: NodeKey = array(&case["node_key"]);
		let body = Peerz::binding_body(&account, &node_key, number(&case["expiry"]));
		let of = |algorithm| Peerz::signed_payload(BINDING_DOMAIN, algorithm, &body);
		assert_eq!(of(SR25519), bytes(&case["account_payload"]));
		assert_eq!(of(ED25519), bytes(&case["node_payload"]));
		assert!(Peerz::node_signed(
			&node_key,
			&of(ED25519),
			&array(&case["node_signature"])
		));
	});
}
