//! A validator's row for an epoch, and the hash that commits to it before anybody may see it.

use alloc::vec::Vec;

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

use crate::{hashing::blake2_256, Hash};

/// First bytes of every commitment, encoded without a length.
pub const DOMAIN: [u8; 12] = *b"peerz/att/v1";

/// What a validator found of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Entry {
	/// Index of the member in the epoch.
	pub member: u32,
	/// Accepted units ([`crate::units::units`]).
	pub units: u64,
	/// Measured capacity, units per epoch.
	pub capacity: u64,
	/// Faults found.
	pub faults: u32,
}

/// A row: entries by strictly increasing member, and the Merkle root over the evidence behind them.
///
/// A bounded vector of the same entries encodes to the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Row {
	/// Sorted entries.
	pub entries: Vec<Entry>,
	/// Root ([`crate::merkle`]) over the checked receipts.
	pub evidence_root: Hash,
}

/// Whether entries are in strictly increasing order of member: no duplicates, one form only.
pub fn is_sorted(entries: &[Entry]) -> bool {
	entries
		.iter()
		.zip(entries.iter().skip(1))
		.all(|(a, b)| a.member < b.member)
}

/// `blake2_256(SCALE(domain, genesis, epoch, validator, row, salt))`.
///
/// The genesis hash keeps a commitment from another chain, the validator from another account, the epoch from another time.
pub fn commit_hash<A: Encode, R: Encode>(genesis: &Hash, epoch: u32, validator: &A, row: &R, salt: &Hash) -> Hash {
	blake2_256(&[&(DOMAIN, genesis, epoch, validator, row, salt).encode()])
}
