use peerz_consensus::merkle::{leaf, node, proof, proof_length, root, verify, EMPTY_ROOT};
use proptest::prelude::*;

fn leaves(count: u32) -> Vec<[u8; 32]> {
	(0..count).map(|number| leaf(&number.to_le_bytes())).collect()
}

#[test]
fn three_leaves_by_hand() {
	let [a, b, c] = [0, 1, 2].map(|number| leaf(&[number]));
	let top = node(&node(&a, &b), &c);
	assert_eq!(root(&[a, b, c]), top);
	assert_eq!(
		proof(&[a, b, c], 2),
		Some(vec![node(&a, &b)]),
		"a promoted leaf needs one sibling"
	);
	assert!(verify(&top, 3, 1, &b, &[a, c]));
	assert_eq!(root(&[]), EMPTY_ROOT);
	assert_eq!(root(&[a]), a);
	assert!(verify(&a, 1, 0, &a, &[]));
}

#[test]
fn every_proof_holds_at_its_own_place_only() {
	for count in 1..=33 {
		let leaves = leaves(count);
		let root = root(&leaves);
		for index in 0..count {
			let own = leaves[index as usize];
			let siblings = proof(&leaves, index).expect("there is such a leaf");
			assert_eq!(proof_length(count, index), Some(siblings.len()));
			for claimed in 0..=count {
				assert_eq!(
					verify(&root, count, claimed, &own, &siblings),
					claimed == index,
					"{index} of {count} as {claimed}"
				);
			}
		}
	}
}

#[test]
fn an_inner_node_is_no_leaf() {
	// The classic second pre-image: a node's two children offered as one leaf of a smaller tree.
	let leaves = leaves(4);
	let top = root(&leaves);
	let data = [leaves[0], leaves[1]].concat();
	let right = node(&leaves[2], &leaves[3]);
	assert!(!verify(&top, 2, 0, &leaf(&data), &[right]));
	assert!(!verify(&top, 4, 0, &leaf(&data), &[right]), "too short for four leaves");
	// The node itself in the place of a leaf hash is caught by the depth, as long as the count is the true one.
	assert!(!verify(&top, 4, 0, &node(&leaves[0], &leaves[1]), &[right]));
}

#[test]
fn nothing_proves_a_leaf_of_an_empty_tree() {
	assert_eq!(proof(&[], 0), None);
	assert!(!verify(&EMPTY_ROOT, 0, 0, &EMPTY_ROOT, &[]));
	assert!(
		verify(&EMPTY_ROOT, 1, 0, &EMPTY_ROOT, &[]),
		"a count of one makes the root the leaf: counts are stored, not claimed"
	);
}

#[test]
fn the_largest_tree_has_32_levels() {
	assert_eq!(proof_length(u32::MAX, 0), Some(32));
	assert_eq!(proof_length(u32::MAX, u32::MAX - 1), Some(31));
	assert_eq!(proof_length(u32::MAX, u32::MAX), None);
}

proptest! {
	#[test]
	fn a_changed_proof_fails(count in 2_u32..200, index in any::<prop::sample::Index>(), level in any::<prop::sample::Index>(), bit in 0_usize..256) {
		let leaves = leaves(count);
		let (root, index) = (root(&leaves), index.index(count as usize));
		let mut siblings = proof(&leaves, index as u32).expect("there is such a leaf");
		prop_assert!(verify(&root, count, index as u32, &leaves[index], &siblings));
		let level = level.index(siblings.len());
		siblings[level][bit / 8] ^= 1 << (bit % 8);
		prop_assert!(!verify(&root, count, index as u32, &leaves[index], &siblings));
		siblings.push([0; 32]);
		prop_assert!(!verify(&root, count, index as u32, &leaves[index], &siblings));
	}

	#[test]
	fn hostile_proofs_are_refused(root in any::<[u8; 32]>(), count in any::<u32>(), index in any::<u32>(), own in any::<[u8; 32]>(), siblings in prop::collection::vec(any::<[u8; 32]>(), 0..40)) {
		prop_assert!(!verify(&root, count, index, &own, &siblings));
	}
}
