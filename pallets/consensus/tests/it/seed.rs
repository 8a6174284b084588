use peerz_consensus::seed::{chain, is_next, link, next_seed};
use proptest::{collection::vec, prelude::*};

use crate::shuffled;

#[test]
fn a_chain_is_revealed_backwards() {
	let secret = [5; 32];
	let mut end = chain(&secret, 10);
	for step in (0..10).rev() {
		let reveal = chain(&secret, step);
		assert!(is_next(&end, &reveal));
		assert!(!is_next(&end, &end));
		end = reveal;
	}
	assert_eq!(end, secret);
	assert_eq!(link(&secret), chain(&secret, 1));
}

#[test]
fn an_index_given_twice_is_refused() {
	assert_eq!(next_seed(&[0; 32], 1, &[(3, [1; 32]), (3, [2; 32])]), None);
}

#[test]
fn no_reveals_still_move_the_seed() {
	let first = next_seed(&[0; 32], 1, &[]).expect("no duplicates");
	assert_ne!(first, [0; 32]);
	assert_ne!(next_seed(&[0; 32], 2, &[]), Some(first));
}

proptest! {
	#[test]
	fn every_reveal_matters_and_their_order_does_not(
		previous in any::<[u8; 32]>(),
		(reveals, other) in vec(any::<[u8; 32]>(), 1..10)
			.prop_map(|values| (0_u32..).zip(values).collect::<Vec<_>>())
			.prop_flat_map(shuffled),
	) {
		let seed = next_seed(&previous, 7, &reveals);
		prop_assert!(seed.is_some());
		prop_assert_eq!(seed, next_seed(&previous, 7, &other));
		for left_out in 0..reveals.len() {
			let mut fewer = reveals.clone();
			fewer.remove(left_out);
			prop_assert_ne!(seed, next_seed(&previous, 7, &fewer));
		}
	}
}
