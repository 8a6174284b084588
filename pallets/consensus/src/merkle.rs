//! Merkle trees whose proofs are bound to position, leaf count and depth.
//!
//! Leaf `blake2_256(0x00 || data)`, node `blake2_256(0x01 || left || right)`: a node can never pass for a leaf. A level of
//! odd length promotes its last node unchanged. The sides of a proof follow from the leaf's index and the number of
//! leaves, so a proof is siblings only and has exactly one valid length. The same shape as `compute.models.merkle`.

use alloc::vec::Vec;

use crate::{hashing::blake2_256, Hash};

/// The root of no leaves.
pub const EMPTY_ROOT: Hash = [0; 32];

/// Hash of a leaf's bytes.
pub fn leaf(data: &[u8]) -> Hash {
	blake2_256(&[&[0], data])
}

/// Hash of two children.
pub fn node(left: &Hash, right: &Hash) -> Hash {
	blake2_256(&[&[1], left, right])
}

/// Root over leaf hashes, in order.
pub fn root(leaves: &[Hash]) -> Hash {
	let mut level = leaves.to_vec();
	while level.len() > 1 {
		level = parents(&level);
	}
	level.first().copied().unwrap_or(EMPTY_ROOT)
}

/// Siblings from leaf `index` up to the root, lowest first; `None` if there is no such leaf.
pub fn proof(leaves: &[Hash], index: u32) -> Option<Vec<Hash>> {
	let mut here = usize::try_from(index).ok()?;
	leaves.get(here)?;
	let (mut level, mut siblings) = (leaves.to_vec(), Vec::new());
	while level.len() > 1 {
		siblings.extend(level.get(here ^ 1));
		level = parents(&level);
		here /= 2;
	}
	Some(siblings)
}

/// Siblings that a proof for leaf `index` of `leaf_count` has; `None` if there is no such leaf.
pub fn proof_length(leaf_count: u32, index: u32) -> Option<usize> {
	if index >= leaf_count {
		return None;
	}
	Some(sides(leaf_count, index).filter(|side| *side != Side::Promoted).count())
}

/// Whether `siblings` lead from the hash `leaf` at `index` of `leaf_count` leaves to `root`.
///
/// `leaf_count` must come from where `root` does (both are stored when a root is posted).
pub fn verify(root: &Hash, leaf_count: u32, index: u32, leaf: &Hash, siblings: &[Hash]) -> bool {
	if proof_length(leaf_count, index) != Some(siblings.len()) {
		return false;
	}
	let mut rest = siblings.iter();
	let mut here = *leaf;
	for side in sides(leaf_count, index) {
		here = match (side, side != Side::Promoted) {
			(Side::Promoted, _) => here,
			(side, _) => match (rest.next(), side) {
				(Some(sibling), Side::Left) => node(&here, sibling),
				(Some(sibling), _) => node(sibling, &here),
				(None, _) => return false,
			},
		};
	}
	here == *root
}

/// Where a node stands in its pair.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
	Left,
	Right,
	Promoted,
}

/// The side at each level below the root, lowest first.
fn sides(leaf_count: u32, index: u32) -> impl Iterator<Item = Side> {
	let levels = core::iter::successors(Some((leaf_count, index)), |(count, here)| {
		Some((count.div_ceil(2), here / 2))
	});
	levels
		.take_while(|(count, _)| *count > 1)
		.map(|(count, here)| match here % 2 {
			1 => Side::Right,
			_ if here.checked_add(1) == Some(count) => Side::Promoted,
			_ => Side::Left,
		})
}

fn parents(level: &[Hash]) -> Vec<Hash> {
	level
		.chunks(2)
		.filter_map(|pair| match pair {
			[left, right] => Some(node(left, right)),
			[last] => Some(*last),
			_ => None,
		})
		.collect()
}
