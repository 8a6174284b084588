//! The runtime as a whole: what it starts with, what a signed call costs, what clients see.

mod chain;
mod client_vectors;
mod interface;
mod presets;
mod queries;

use codec::Encode;
use frame_support::genesis_builder_helper::build_state;
use sp_consensus_aura::AURA_ENGINE_ID;
use sp_keyring::Sr25519Keyring;
use sp_runtime::{
	generic::{Digest, DigestItem, Era},
	traits::Header as _,
	ApplyExtrinsicResult, MultiAddress, MultiSignature,
};

use crate::{
	genesis_presets, AccountId, Executive, Header, Nonce, Runtime, RuntimeCall, RuntimeGenesisConfig, SignedPayload,
	System, TxExtension, UncheckedExtrinsic, SLOT_DURATION,
};

/// Runs `test` on the genesis state of a preset, as a host builds it: defaults, the preset over them, `build_state`.
fn with_preset<R>(name: &str, test: impl FnOnce() -> R) -> R {
	let patch = genesis_presets::get_preset(&name.into()).expect("a known preset");
	let mut config = serde_json::to_value(RuntimeGenesisConfig::default()).expect("serialises");
	merge(&mut config, serde_json::from_slice(&patch).expect("JSON"));
	let mut state = sp_io::TestExternalities::default();
	state.execute_with(|| {
		build_state::<RuntimeGenesisConfig>(serde_json::to_vec(&config).expect("serialises")).expect("a genesis");
		test()
	})
}

/// RFC 7396 merge of objects, which is what hosts apply to a preset.
fn merge(target: &mut serde_json::Value, patch: serde_json::Value) {
	match (target, patch) {
		(serde_json::Value::Object(target), serde_json::Value::Object(patch)) => {
			for (key, value) in patch {
				merge(target.entry(key).or_insert(serde_json::Value::Null), value);
			}
		}
		(target, patch) => *target = patch,
	}
}

/// Opens block `number` in slot `slot` and puts the timestamp in.
fn open_block(number: u32, slot: u64) {
	let digest = Digest {
		logs: vec![DigestItem::PreRuntime(AURA_ENGINE_ID, slot.encode())],
	};
	let parent = if number == 1 {
		System::block_hash(0)
	} else {
		System::parent_hash()
	};
	Executive::initialize_block(&Header::new(
		number,
		Default::default(),
		Default::default(),
		parent,
		digest,
	));
	let now = UncheckedExtrinsic::new_bare(
		pallet_timestamp::Call::set {
			now: slot * SLOT_DURATION,
		}
		.into(),
	);
	Executive::apply_extrinsic(now).expect("valid").expect("dispatched");
}

fn extension(nonce: Nonce) -> TxExtension {
	(
		frame_system::CheckNonZeroSender::new(),
		frame_system::CheckSpecVersion::new(),
		frame_system::CheckTxVersion::new(),
		frame_system::CheckGenesis::new(),
		frame_system::CheckMortality::from(Era::Immortal),
		frame_system::CheckNonce::from(nonce),
		frame_system::CheckWeight::new(),
		pallet_transaction_payment::ChargeTransactionPayment::from(0),
	)
}

fn signed(who: Sr25519Keyring, nonce: Nonce, call: RuntimeCall) -> UncheckedExtrinsic {
	let payload = SignedPayload::new(call, extension(nonce)).expect("implicit data is at hand");
	let signature = payload.using_encoded(|bytes| who.sign(bytes));
	let (call, extension, _) = payload.deconstruct();
	UncheckedExtrinsic::new_signed(call, account(who).into(), MultiSignature::Sr25519(signature), extension)
}

fn apply(who: Sr25519Keyring, nonce: Nonce, call: RuntimeCall) -> ApplyExtrinsicResult {
	Executive::apply_extrinsic(signed(who, nonce, call))
}

fn account(who: Sr25519Keyring) -> AccountId {
	who.to_account_id()
}

fn address(who: Sr25519Keyring) -> MultiAddress<AccountId, ()> {
	account(who).into()
}

fn transfer(to: Sr25519Keyring, value: u128) -> RuntimeCall {
	pallet_balances::Call::<Runtime>::transfer_keep_alive {
		dest: address(to),
		value,
	}
	.into()
}
