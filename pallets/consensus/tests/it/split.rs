use peerz_consensus::split::{largest_remainder, pro_rata};
use proptest::{collection::vec, prelude::*};

use crate::{amount, shuffled};

#[test]
fn a_pool_of_hundred_over_three_roles() {
	// Quotas 14.28, 28.57, 57.14: the unit left goes to the second.
	assert_eq!(largest_remainder(100, &[1, 2, 4]), [14, 29, 57]);
}

#[test]
fn ties_go_to_the_lower_index() {
	assert_eq!(largest_remainder(10, &[1, 1, 1, 1]), [3, 3, 2, 2]);
}

#[test]
fn nothing_is_given_without_weights() {
	assert_eq!(largest_remainder(10, &[0, 0]), [0, 0]);
	assert!(largest_remainder(10, &[]).is_empty());
	assert_eq!(pro_rata(10, 3, 0), 0);
}

#[test]
fn extreme_inputs_split_exactly() {
	let max = u128::MAX;
	assert_eq!(largest_remainder(max, &[max, max]), [max / 2 + 1, max / 2]);
	assert_eq!(largest_remainder(max, &[max]), [max]);
	assert_eq!(largest_remainder(max, &[1, max, 0]).iter().sum::<u128>(), max);
	assert_eq!(pro_rata(max, max, max), max);
	assert_eq!(pro_rata(7, 9, 8), 7, "a part above the whole is the whole");
}

proptest! {
	#[test]
	fn parts_add_up(total in amount(), weights in vec(amount(), 1..20)) {
		let parts = largest_remainder(total, &weights);
		let expected = if weights.iter().all(|weight| *weight == 0) { 0 } else { total };
		prop_assert_eq!(parts.iter().try_fold(0_u128, |sum, part| sum.checked_add(*part)), Some(expected));
	}

	#[test]
	fn parts_are_within_one_of_their_quota(total in any::<u32>(), weights in vec(1_u128..1 << 60, 1..20)) {
		let sum: u128 = weights.iter().sum();
		for (part, weight) in largest_remainder(total as u128, &weights).into_iter().zip(&weights) {
			let floor = total as u128 * weight / sum;
			prop_assert!(part == floor || (part == floor + 1 && !(total as u128 * weight).is_multiple_of(sum)));
		}
	}

	#[test]
	fn more_weight_is_never_less(total in amount(), weights in vec(amount(), 2..20)) {
		let parts = largest_remainder(total, &weights);
		for (a, weight_a) in parts.iter().zip(&weights) {
			for (b, weight_b) in parts.iter().zip(&weights) {
				prop_assert!(weight_a <= weight_b || a >= b);
			}
		}
	}

	#[test]
	fn order_matters_by_one_unit_at_most(
		total in amount(),
		(weights, order) in vec(amount(), 1..12).prop_flat_map(|weights| {
			let indices: Vec<usize> = (0..weights.len()).collect();
			(Just(weights), Just(indices).prop_shuffle())
		}),
	) {
		let parts = largest_remainder(total, &weights);
		let moved: Vec<u128> = order.iter().map(|index| weights[*index]).collect();
		for (part, index) in largest_remainder(total, &moved).into_iter().zip(order) {
			prop_assert!(part.abs_diff(parts[index]) <= 1);
		}
	}

	#[test]
	fn claims_never_exceed_the_pool(
		pool in amount(),
		(units, order) in vec(any::<u64>(), 1..20).prop_flat_map(shuffled),
	) {
		let all: u128 = units.iter().map(|unit| *unit as u128).sum();
		let claimed = order
			.iter()
			.try_fold(0_u128, |sum, unit| sum.checked_add(pro_rata(pool, *unit as u128, all)));
		prop_assert!(claimed.is_some_and(|sum| sum <= pool && pool - sum <= units.len() as u128 || all == 0));
	}

	#[test]
	fn splitting_a_claim_gains_nothing(pool in amount(), a in amount(), b in amount(), rest in amount()) {
		let (a, b, rest) = (a >> 2, b >> 2, rest >> 2);
		let all = a + b + rest;
		prop_assert!(pro_rata(pool, a, all) + pro_rata(pool, b, all) <= pro_rata(pool, a + b, all));
	}

	#[test]
	fn splitting_a_role_gains_one_unit_at_most(total in amount(), weights in vec(0..u128::MAX >> 8, 2..12)) {
		let whole = largest_remainder(total, &[&[weights[0] + weights[1]], &weights[2..]].concat());
		let split = largest_remainder(total, &weights);
		prop_assert!(split[0].saturating_add(split[1]) <= whole[0].saturating_add(1));
	}
}
