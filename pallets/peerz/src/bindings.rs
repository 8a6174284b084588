//! Node keys: which ed25519 key speaks for which account.
//!
//! Both keys sign `length of domain || domain || version || signature algorithm || genesis hash || body`, where the body
//! is `account (32) || node key (32) || expiry u64`, little-endian. The algorithm is 1 for ed25519, 2 for sr25519.

use crate::{
	pallet::{Config, CurrentEpoch, Error, Event, NodeKeyOf, NodeKeys, Pallet, Params},
	types::{KeyRecord, NodeKey, Signature},
};
use alloc::vec::Vec;
use frame_support::{ensure, pallet_prelude::DispatchResult, traits::UnixTime};
use sp_core::{ed25519, sr25519};
use sp_runtime::traits::Zero;

/// The domain of bindings.
pub const BINDING_DOMAIN: &[u8] = b"peerz/node-binding";
/// The algorithm byte of ed25519.
pub const ED25519: u8 = 1;
/// The algorithm byte of sr25519.
pub const SR25519: u8 = 2;
const PAYLOAD_VERSION: u8 = 1;

impl<T: Config> Pallet<T> {
	/// The account's node key, if its binding holds now.
	pub fn bound_node_key(account: &T::AccountId) -> Option<NodeKey> {
		let node_key = NodeKeyOf::<T>::get(account)?;
		let record = NodeKeys::<T>::get(node_key)?;
		(record.expiry > T::UnixTime::now().as_secs()).then_some(node_key)
	}

	/// What is signed: see the head of this module.
	pub fn signed_payload(domain: &[u8], algorithm: u8, body: &[u8]) -> Vec<u8> {
		let genesis = frame_system::Pallet::<T>::block_hash(frame_system::pallet_prelude::BlockNumberFor::<T>::zero());
		let mut payload = Vec::with_capacity(domain.len() + 35 + body.len());
		// Domains are constants of the pallet, far shorter than 256 bytes.
		payload.push(domain.len() as u8);
		payload.extend_from_slice(domain);
		payload.extend_from_slice(&[PAYLOAD_VERSION, algorithm]);
		payload.extend_from_slice(genesis.as_ref());
		payload.extend_from_slice(body);
		payload
	}

	/// The body of a binding.
	pub fn binding_body(account: &T::AccountId, node_key: &NodeKey, expiry: u64) -> Vec<u8> {
		let account: &[u8; 32] = account.as_ref();
		[account.as_slice(), node_key.as_slice(), expiry.to_le_bytes().as_slice()].concat()
	}

	/// Whether a node key signed a payload.
	pub(crate) fn node_signed(node_key: &NodeKey, payload: &[u8], signature: &Signature) -> bool {
		let signature = ed25519::Signature::from_raw(*signature);
		sp_io::crypto::ed25519_verify(&signature, payload, &ed25519::Public::from_raw(*node_key))
	}

	pub(crate) fn do_bind_node_key(
		who: T::AccountId,
		node_key: NodeKey,
		expiry: u64,
		account_signature: Signature,
		node_signature: Signature,
	) -> DispatchResult {
		let now = T::UnixTime::now().as_secs();
		let params = Params::<T>::get();
		ensure!(expiry > now, Error::<T>::BindingExpired);
		ensure!(expiry - now <= params.max_binding_seconds, Error::<T>::BindingTooLong);
		let record = NodeKeys::<T>::get(node_key);
		if let Some(record) = &record {
			let free = record.account == who && record.retired.is_none() && !record.burnt;
			ensure!(free, Error::<T>::NodeKeyTaken);
			ensure!(expiry > record.expiry, Error::<T>::NotARenewal);
		}
		let body = Self::binding_body(&who, &node_key, expiry);
		let account_key = sr25519::Public::from_raw(*who.as_ref());
		ensure!(
			sp_io::crypto::sr25519_verify(
				&sr25519::Signature::from_raw(account_signature),
				&Self::signed_payload(BINDING_DOMAIN, SR25519, &body),
				&account_key,
			),
			Error::<T>::BadAccountSignature
		);
		ensure!(
			Self::node_signed(
				&node_key,
				&Self::signed_payload(BINDING_DOMAIN, ED25519, &body),
				&node_signature,
			),
			Error::<T>::BadNodeSignature
		);

		let deposit = match &record {
			Some(record) => record.deposit,
			None => {
				Self::hold_deposit(&who, params.key_deposit)?;
				params.key_deposit
			}
		};
		if let Some(former) = NodeKeyOf::<T>::get(&who).filter(|former| *former != node_key) {
			Self::retire_key(&who, former);
		}
		NodeKeyOf::<T>::insert(&who, node_key);
		NodeKeys::<T>::insert(
			node_key,
			KeyRecord {
				account: who.clone(),
				expiry,
				deposit,
				retired: None,
				burnt: false,
			},
		);
		Self::deposit_event(Event::NodeKeyBound {
			account: who,
			node_key,
			expiry,
		});
		Ok(())
	}

	pub(crate) fn do_retire_node_key(who: T::AccountId) -> DispatchResult {
		let node_key = NodeKeyOf::<T>::get(&who).ok_or(Error::<T>::NoNodeKey)?;
		Self::retire_key(&who, node_key);
		Ok(())
	}

	/// Takes a key out of use. Its record stays, so that what it signed can still be reported.
	pub(crate) fn retire_key(account: &T::AccountId, node_key: NodeKey) {
		NodeKeyOf::<T>::remove(account);
		NodeKeys::<T>::mutate(node_key, |record| {
			if let Some(record) = record {
				record.retired = Some(CurrentEpoch::<T>::get().index);
			}
		});
		Self::deposit_event(Event::NodeKeyRetired {
			account: account.clone(),
			node_key,
		});
	}

	pub(crate) fn do_release_node_key(who: T::AccountId, node_key: NodeKey) -> DispatchResult {
		let record = NodeKeys::<T>::get(node_key).ok_or(Error::<T>::UnknownNodeKey)?;
		ensure!(record.account == who, Error::<T>::NotOwner);
		let retired = record.retired.ok_or(Error::<T>::StillActive)?;
		// A burnt key is never bound again, so it is never forgotten.
		ensure!(!record.burnt, Error::<T>::NodeKeyTaken);
		let from = retired.saturating_add(Params::<T>::get().unbonding_epochs);
		ensure!(CurrentEpoch::<T>::get().index >= from, Error::<T>::TooEarly);
		Self::return_deposit(&who, record.deposit)?;
		NodeKeys::<T>::remove(node_key);
		Self::deposit_event(Event::NodeKeyReleased { node_key });
		Ok(())
	}
}
