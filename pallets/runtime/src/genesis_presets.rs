//! The chains that the runtime itself can start: one for development, one for a network on one's own machines.

use alloc::{vec, vec::Vec};
use frame_support::build_struct_json_patch;
use serde_json::Value;
use sp_consensus_aura::sr25519::AuthorityId as AuraId;
use sp_consensus_grandpa::AuthorityId as GrandpaId;
use sp_genesis_builder::{PresetId, DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET};
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};

use crate::{AccountId, Balance, BalancesConfig, Multisig, RuntimeGenesisConfig, SudoConfig, PRZ};

/// Four authorities; root is three of the four together.
pub const LOCAL_RUNTIME_PRESET: &str = "local";

/// What each development account starts with.
const ENDOWMENT: Balance = 1_000_000 * PRZ;

const AUTHORITIES: [(Sr25519Keyring, Ed25519Keyring); 4] = [
	(Sr25519Keyring::Alice, Ed25519Keyring::Alice),
	(Sr25519Keyring::Bob, Ed25519Keyring::Bob),
	(Sr25519Keyring::Charlie, Ed25519Keyring::Charlie),
	(Sr25519Keyring::Dave, Ed25519Keyring::Dave),
];

const DEVELOPMENT_ACCOUNTS: [Sr25519Keyring; 6] = [
	Sr25519Keyring::Alice,
	Sr25519Keyring::Bob,
	Sr25519Keyring::Charlie,
	Sr25519Keyring::Dave,
	Sr25519Keyring::Eve,
	Sr25519Keyring::Ferdie,
];

fn genesis(authorities: &[(Sr25519Keyring, Ed25519Keyring)], root: AccountId) -> Value {
	let mut endowed: Vec<AccountId> = DEVELOPMENT_ACCOUNTS.iter().map(|key| key.to_account_id()).collect();
	if !endowed.contains(&root) {
		endowed.push(root.clone());
	}
	build_struct_json_patch!(RuntimeGenesisConfig {
		balances: BalancesConfig {
			balances: endowed.into_iter().map(|who| (who, ENDOWMENT)).collect()
		},
		aura: pallet_aura::GenesisConfig {
			authorities: authorities
				.iter()
				.map(|(aura, _)| AuraId::from(aura.public()))
				.collect(),
		},
		grandpa: pallet_grandpa::GenesisConfig {
			authorities: authorities
				.iter()
				.map(|(_, grandpa)| (GrandpaId::from(grandpa.public()), 1))
				.collect(),
		},
		sudo: SudoConfig { key: Some(root) },
	})
}

fn development() -> Value {
	genesis(&AUTHORITIES[..1], Sr25519Keyring::Alice.to_account_id())
}

fn local() -> Value {
	let mut signatories: Vec<AccountId> = AUTHORITIES.iter().map(|(key, _)| key.to_account_id()).collect();
	signatories.sort();
	genesis(&AUTHORITIES, Multisig::multi_account_id(&signatories, 3))
}

/// The JSON patch of a preset, or `None` for an unknown name.
pub fn get_preset(id: &PresetId) -> Option<Vec<u8>> {
	let patch = match id.as_ref() {
		DEV_RUNTIME_PRESET => development(),
		LOCAL_RUNTIME_PRESET | LOCAL_TESTNET_RUNTIME_PRESET => local(),
		_ => return None,
	};
	serde_json::to_vec(&patch).ok()
}

/// Names of all presets.
pub fn preset_names() -> Vec<PresetId> {
	vec![
		PresetId::from(DEV_RUNTIME_PRESET),
		PresetId::from(LOCAL_RUNTIME_PRESET),
		PresetId::from(LOCAL_TESTNET_RUNTIME_PRESET),
	]
}
