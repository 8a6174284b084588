//! BLAKE2b with 32 bytes of output, the hash of everything in this crate.

use blake2::{
	digest::{consts::U32, Digest},
	Blake2b,
};

use crate::Hash;

/// BLAKE2b-256 over the concatenation of `parts`. Callers put a domain first and fix or prefix the lengths.
pub fn blake2_256(parts: &[&[u8]]) -> Hash {
	let mut hasher = Blake2b::<U32>::new();
	for part in parts {
		hasher.update(part);
	}
	hasher.finalize().into()
}
