//! Which validators attest which provider in an epoch: the `k` lowest hashes over the epoch's seed.
//!
//! `rank = blake2_256("peerz/assign/v1" || seed || len(validator) || validator || len(provider) || provider)`. The seed is
//! fixed after registration closes, so identities cannot be ground towards each other. Every pair is drawn on its own: a
//! validator that leaves changes only its own pairs, and the order of the list does not matter.

use alloc::vec::Vec;

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

use crate::{hashing::blake2_256, Hash};

const DOMAIN: &[u8] = b"peerz/assign/v1";

/// How many validators a provider gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct AssignmentParams {
	/// Up to this many validators, all attest everybody.
	pub all_up_to: u32,
	/// Beyond, this many attest each provider.
	pub k: u32,
}

impl Default for AssignmentParams {
	fn default() -> Self {
		Self { all_up_to: 16, k: 15 }
	}
}

impl AssignmentParams {
	/// Validators per provider when there are `validators` of them.
	pub fn count(&self, validators: usize) -> usize {
		if validators <= self.all_up_to as usize {
			validators
		} else {
			validators.min(self.k as usize)
		}
	}
}

/// The draw of one pair; lower is chosen first.
pub fn rank(seed: &Hash, validator: &[u8], provider: &[u8]) -> Hash {
	let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
	blake2_256(&[DOMAIN, seed, &length(validator), validator, &length(provider), provider])
}

/// Positions in `validators` (ascending) of those assigned to `provider`: `params.count` of them.
///
/// Costs one hash per validator beyond `all_up_to`, none below. Keys are the encoded account (and, for providers, its
/// generation); they must be distinct.
pub fn assigned<V: AsRef<[u8]>>(
	params: &AssignmentParams,
	seed: &Hash,
	provider: &[u8],
	validators: &[V],
) -> Vec<usize> {
	let count = params.count(validators.len());
	if count == validators.len() {
		return (0..count).collect();
	}
	let mut ranked: Vec<(Hash, usize)> = validators
		.iter()
		.enumerate()
		.map(|(position, validator)| (rank(seed, validator.as_ref(), provider), position))
		.collect();
	ranked.sort_unstable();
	let mut chosen: Vec<usize> = ranked.into_iter().take(count).map(|(_, position)| position).collect();
	chosen.sort_unstable();
	chosen
}

/// Whether the validator at `position` is assigned to `provider`: [`assigned`] without the list.
pub fn is_assigned<V: AsRef<[u8]>>(
	params: &AssignmentParams,
	seed: &Hash,
	provider: &[u8],
	validators: &[V],
	position: usize,
) -> bool {
	let Some(own) = validators.get(position) else {
		return false;
	};
	let count = params.count(validators.len());
	if count == validators.len() {
		return true;
	}
	let own = (rank(seed, own.as_ref(), provider), position);
	let before = validators
		.iter()
		.enumerate()
		.filter(|(other, validator)| (rank(seed, validator.as_ref(), provider), *other) < own)
		.count();
	before < count
}
