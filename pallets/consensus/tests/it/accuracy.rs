use peerz_consensus::{
	accuracy::{accuracy, pay_weight, Accuracy, Measured, TOLERANCE_BPS},
	PPM,
};
use proptest::{collection::vec, prelude::*};

use crate::{amount, shuffled};

fn seen(reported: u128, median: u128) -> Measured {
	Measured {
		reported: Some(reported),
		median,
	}
}

#[test]
fn five_percent_off_costs_half_of_the_pay() {
	let found = accuracy(&[seen(105, 100), seen(285, 300)], TOLERANCE_BPS, 4, 1);
	// Off by 20 of 400.
	assert_eq!(
		found,
		Accuracy {
			deviation: 50_000,
			distance: 500_000,
			planted: 750_000,
			score: 375_000
		}
	);
}

#[test]
fn above_and_below_cost_the_same() {
	assert_eq!(
		accuracy(&[seen(103, 100)], TOLERANCE_BPS, 0, 0),
		accuracy(&[seen(97, 100)], TOLERANCE_BPS, 0, 0)
	);
}

#[test]
fn leaving_a_member_out_counts_like_zero() {
	let left_out = Measured {
		reported: None,
		median: 100,
	};
	assert_eq!(accuracy(&[left_out, seen(100, 100)], TOLERANCE_BPS, 0, 0).score, 0);
	assert_eq!(
		accuracy(&[left_out], TOLERANCE_BPS, 0, 0),
		accuracy(&[seen(0, 100)], TOLERANCE_BPS, 0, 0)
	);
}

#[test]
fn corner_cases() {
	assert_eq!(accuracy(&[], TOLERANCE_BPS, 0, 0).score, PPM);
	assert_eq!(accuracy(&[seen(0, 0)], TOLERANCE_BPS, 0, 0).score, PPM);
	let invented = accuracy(&[seen(1, 0)], TOLERANCE_BPS, 0, 0);
	assert_eq!((invented.deviation, invented.score), (u32::MAX, 0));
	assert_eq!(
		accuracy(&[seen(7, 7)], 0, 0, 0).score,
		PPM,
		"no tolerance: exact rows pass"
	);
	assert_eq!(accuracy(&[seen(7, 8)], 0, 0, 0).score, 0);
	assert_eq!(accuracy(&[], TOLERANCE_BPS, 2, 9).score, 0, "more missed than planted");
	let extreme = accuracy(&vec![seen(u128::MAX, 1); 50], u16::MAX, u32::MAX, 0);
	assert_eq!(extreme.distance, 0);
	assert_eq!(pay_weight(u128::MAX, u32::MAX), u128::MAX, "a score is at most one");
}

fn rows() -> impl Strategy<Value = Vec<Measured>> {
	let one = (prop::option::of(amount()), amount()).prop_map(|(reported, median)| Measured { reported, median });
	vec(one, 0..12)
}

proptest! {
	#[test]
	fn the_score_is_a_fraction_and_ignores_order((rows, other) in rows().prop_flat_map(shuffled), tolerance in any::<u16>(), planted in any::<u32>(), missed in any::<u32>()) {
		let found = accuracy(&rows, tolerance, planted, missed);
		prop_assert!(found.score <= found.distance.min(found.planted) && found.distance <= PPM && found.planted <= PPM);
		prop_assert_eq!(found, accuracy(&other, tolerance, planted, missed));
	}

	#[test]
	fn further_off_never_pays_more(median in 1..u128::MAX >> 2, off in amount(), more in amount(), above in any::<bool>()) {
		let (near, far) = (off.min(median), off.saturating_add(more).min(median));
		let at = |by: u128| accuracy(&[seen(if above { median + by } else { median - by }, median)], TOLERANCE_BPS, 0, 0).score;
		prop_assert!(at(near) >= at(far));
	}

	#[test]
	fn missing_more_never_pays_more(planted in 1..=u32::MAX, missed in any::<u32>(), more in any::<u32>()) {
		let score = |missed| accuracy(&[seen(100, 101)], TOLERANCE_BPS, planted, missed).score;
		prop_assert!(score(missed) >= score(missed.saturating_add(more)));
	}

	#[test]
	fn splitting_a_stake_gains_nothing(a in 0..u128::MAX >> 1, b in 0..u128::MAX >> 1, score in 0..=PPM) {
		prop_assert!(pay_weight(a, score) + pay_weight(b, score) <= pay_weight(a + b, score));
	}
}
