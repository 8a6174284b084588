use peerz_consensus::assignment::{assigned, is_assigned, AssignmentParams};
use proptest::prelude::*;

const PARAMS: AssignmentParams = AssignmentParams { all_up_to: 16, k: 15 };

fn keys(count: u32, tag: u8) -> Vec<[u8; 32]> {
	let key = |number: u32| {
		let mut key = [tag; 32];
		key[..4].copy_from_slice(&number.to_le_bytes());
		key
	};
	(0..count).map(key).collect()
}

#[test]
fn all_while_there_are_sixteen_then_fifteen() {
	let provider = [9; 32];
	for (validators, expected) in [(0, 0), (1, 1), (16, 16), (17, 15), (128, 15)] {
		assert_eq!(
			assigned(&PARAMS, &[1; 32], &provider, &keys(validators, 1)).len(),
			expected
		);
	}
}

#[test]
fn another_seed_is_another_choice() {
	let validators = keys(64, 1);
	assert_ne!(
		assigned(&PARAMS, &[1; 32], &[9; 32], &validators),
		assigned(&PARAMS, &[2; 32], &[9; 32], &validators)
	);
}

#[test]
fn lengths_are_part_of_the_draw() {
	use peerz_consensus::assignment::rank;
	assert_ne!(rank(&[0; 32], b"ab", b"c"), rank(&[0; 32], b"a", b"bc"));
}

#[test]
fn the_work_is_spread_evenly() {
	let validators = keys(64, 1);
	let mut load = [0_u32; 64];
	for provider in keys(1_000, 2) {
		for position in assigned(&PARAMS, &[7; 32], &provider, &validators) {
			load[position] += 1;
		}
	}
	// 15,000 places over 64: 234 each, standard deviation 13.4. Six of them either way.
	assert!(load.iter().all(|count| (154..=315).contains(count)), "{load:?}");
}

proptest! {
	#[test]
	fn the_order_of_validators_does_not_matter(
		seed in any::<[u8; 32]>(),
		provider in any::<[u8; 36]>(),
		order in Just((0..40_u32).collect::<Vec<_>>()).prop_shuffle(),
	) {
		let validators = keys(40, 1);
		let moved: Vec<[u8; 32]> = order.iter().map(|index| validators[*index as usize]).collect();
		let mut chosen: Vec<usize> =
			assigned(&PARAMS, &seed, &provider, &moved).into_iter().map(|position| order[position] as usize).collect();
		chosen.sort_unstable();
		prop_assert_eq!(chosen, assigned(&PARAMS, &seed, &provider, &validators));
	}

	#[test]
	fn membership_agrees_with_the_list(seed in any::<[u8; 32]>(), provider in any::<[u8; 32]>(), count in 0_u32..40, all_up_to in 0_u32..20, k in 0_u32..50) {
		let (params, validators) = (AssignmentParams { all_up_to, k }, keys(count, 1));
		let chosen = assigned(&params, &seed, &provider, &validators);
		for position in 0..validators.len() + 1 {
			prop_assert_eq!(is_assigned(&params, &seed, &provider, &validators, position), chosen.contains(&position));
		}
	}

	#[test]
	fn a_leaving_validator_changes_only_its_own_place(seed in any::<[u8; 32]>(), provider in any::<[u8; 32]>(), leaving in 0_usize..40) {
		let mut validators = keys(40, 1);
		let name = |list: &[[u8; 32]]| -> Vec<[u8; 32]> {
			assigned(&PARAMS, &seed, &provider, list).into_iter().map(|position| list[position]).collect()
		};
		let before = name(&validators);
		let gone = validators.remove(leaving);
		let after = name(&validators);
		prop_assert!(before.iter().filter(|key| **key != gone).all(|key| after.contains(key)));
	}
}
