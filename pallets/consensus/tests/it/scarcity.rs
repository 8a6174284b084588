use peerz_consensus::{
	scarcity::{effective, multiplier, next_multiplier, utilisation, GREATEST, LEAST},
	PPM,
};
use proptest::{collection::vec, prelude::*};

use crate::amount;

#[test]
fn the_square_root_of_use_over_target() {
	assert_eq!(multiplier(60, 100, 600_000), Some(PPM));
	assert_eq!(multiplier(15, 100, 600_000), Some(LEAST));
	assert_eq!(multiplier(100, 100, 500_000), Some(1_414_213));
	assert_eq!(multiplier(0, 100, 600_000), Some(LEAST));
	assert_eq!(multiplier(1_000, 100, 600_000), Some(GREATEST));
	assert_eq!(multiplier(5, 0, 600_000), None);
	assert_eq!(utilisation(1, 3), 333_333);
}

#[test]
fn the_multiplier_follows_over_eight_epochs() {
	assert_eq!(
		next_multiplier(PPM, 100, 100, 250_000),
		1_125_000,
		"an eighth of the way to 2"
	);
	assert_eq!(
		next_multiplier(PPM, 1, 0, 250_000),
		PPM,
		"no capacity: nothing is known"
	);
}

#[test]
fn scarce_roles_gain_what_others_lose() {
	assert_eq!(effective(&[600_000, 400_000], &[PPM, 2 * PPM]), [428_571, 571_429]);
	assert_eq!(effective(&[600_000, 400_000], &[]), [600_000, 400_000]);
	assert_eq!(effective(&[600_000, 400_000], &[0, 0]), [600_000, 400_000]);
}

#[test]
fn extreme_inputs_are_clamped() {
	for (served, capacity, target) in [
		(u128::MAX, 1, 1),
		(u128::MAX, 1, 0),
		(u128::MAX, u128::MAX, u32::MAX),
		(0, u128::MAX, 0),
	] {
		let value = multiplier(served, capacity, target).expect("capacity is there");
		assert!((LEAST..=GREATEST).contains(&value));
	}
}

proptest! {
	#[test]
	fn more_use_never_lowers_it(served in amount(), more in amount(), capacity in 1..=u128::MAX, target in any::<u32>()) {
		prop_assert!(multiplier(served, capacity, target) <= multiplier(served.saturating_add(more), capacity, target));
		prop_assert!(multiplier(served, capacity, target) >= multiplier(served, capacity.saturating_add(more), target));
	}

	#[test]
	fn withholding_half_of_the_capacity_gains_a_root_of_two_at_most(
		capacity in 2..u128::MAX >> 1, share in 0_u32..=PPM, target in 1..=PPM,
	) {
		let served = peerz_consensus::arith::of_ppm(capacity, share);
		let honest = multiplier(served, capacity * 2, target).expect("capacity") as u64;
		let withheld = multiplier(served, capacity, target).expect("capacity") as u64;
		// 1.4142136 and one part per million of rounding.
		prop_assert!(withheld * 10_000_000 <= (honest + 1) * 14_142_136);
	}

	#[test]
	fn smoothed_multipliers_stay_in_range(
		start in LEAST..=GREATEST, uses in vec((amount(), amount()), 0..40), target in any::<u32>(),
	) {
		let last = uses.into_iter().fold(start, |value, (served, capacity)| next_multiplier(value, served, capacity, target));
		prop_assert!((LEAST..=GREATEST).contains(&last));
	}

	#[test]
	fn effective_weights_add_up(weights in vec(0..=PPM, 1..=16), multipliers in vec(LEAST..=GREATEST, 0..=16)) {
		let after = effective(&weights, &multipliers);
		prop_assert_eq!(after.len(), weights.len());
		let positive = weights.iter().any(|weight| *weight > 0);
		prop_assert_eq!(after.iter().sum::<u32>(), if positive { PPM } else { 0 });
		prop_assert!(after.iter().zip(&weights).all(|(after, before)| *before > 0 || *after == 0));
	}
}
