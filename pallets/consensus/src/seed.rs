//! The epoch's seed from hash chains: nobody chooses a value, a validator can only withhold one.
//!
//! Every validator registers the end of a chain of hashes and reveals one pre-image each epoch.
//! `seed_e = H(seed_{e-1}, e, reveals in index order)`. The last to reveal sees both outcomes, with and without its own
//! value, and may take the better: one bit per withheld reveal, paid with that epoch's reward.

use alloc::vec::Vec;

use crate::{hashing::blake2_256, Hash};

const SEED: &[u8] = b"peerz/seed/v1";
const LINK: &[u8] = b"peerz/link/v1";

/// The next element of a chain: `blake2_256("peerz/link/v1" || value)`.
pub fn link(value: &Hash) -> Hash {
	blake2_256(&[LINK, value])
}

/// The element after `steps` links from `secret`: what is registered is `chain(secret, length)`, and the `i`-th reveal is
/// `chain(secret, length - i)`.
pub fn chain(secret: &Hash, steps: u32) -> Hash {
	(0..steps).fold(*secret, |value, _| link(&value))
}

/// Whether `revealed` is the pre-image of the `end` known so far (which it then replaces).
pub fn is_next(end: &Hash, revealed: &Hash) -> bool {
	link(revealed) == *end
}

/// The seed of `epoch`: `blake2_256("peerz/seed/v1" || previous || epoch || (index || revealed)*)`, integers little-endian
/// `u32`. The order of `reveals` does not matter (they are sorted by index); an index given twice is `None`.
pub fn next_seed(previous: &Hash, epoch: u32, reveals: &[(u32, Hash)]) -> Option<Hash> {
	let mut sorted = reveals.to_vec();
	sorted.sort_unstable();
	if sorted.iter().zip(sorted.iter().skip(1)).any(|(a, b)| a.0 == b.0) {
		return None;
	}
	let body: Vec<u8> = sorted
		.iter()
		.flat_map(|(index, revealed)| index.to_le_bytes().into_iter().chain(*revealed))
		.collect();
	Some(blake2_256(&[SEED, previous, &epoch.to_le_bytes(), &body]))
}
