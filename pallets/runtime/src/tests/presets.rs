use sp_keyring::Sr25519Keyring::{Alice, Bob, Charlie, Dave, Eve, Ferdie};

use super::{account, with_preset};
use crate::{genesis_presets, Balances, Grandpa, Multisig, Runtime, PRZ};

#[test]
fn every_named_preset_builds() {
	for name in genesis_presets::preset_names() {
		with_preset(name.as_ref(), || {
			assert!(Balances::total_issuance() > 0);
		});
	}
}

#[test]
fn unknown_presets_are_refused() {
	assert_eq!(genesis_presets::get_preset(&"mainnet".into()), None);
}

#[test]
fn development_is_one_authority_and_six_accounts() {
	with_preset("development", || {
		assert_eq!(pallet_aura::Authorities::<Runtime>::get().len(), 1);
		assert_eq!(Grandpa::grandpa_authorities().len(), 1);
		assert_eq!(pallet_sudo::Key::<Runtime>::get(), Some(account(Alice)));
		for who in [Alice, Bob, Charlie, Dave, Eve, Ferdie] {
			assert_eq!(Balances::free_balance(account(who)), 1_000_000 * PRZ);
		}
	});
}

#[test]
fn root_of_a_local_network_is_three_of_its_four_authorities() {
	with_preset("local", || {
		assert_eq!(pallet_aura::Authorities::<Runtime>::get().len(), 4);
		assert_eq!(Grandpa::grandpa_authorities().len(), 4);
		let mut signatories = [Alice, Bob, Charlie, Dave].map(account).to_vec();
		signatories.sort();
		let root = Multisig::multi_account_id(&signatories, 3);
		assert_eq!(pallet_sudo::Key::<Runtime>::get(), Some(root));
	});
}

#[test]
fn both_names_of_the_local_network_are_the_same_chain() {
	let preset = |name: &str| genesis_presets::get_preset(&name.into());
	assert_eq!(preset("local_testnet"), preset("local"));
}
