use peerz_consensus::arith::{mul_div, of_bps, of_ppm, ratio_ppm, smooth, Wide};
use proptest::prelude::*;

use crate::amount;

#[test]
fn products_beyond_128_bits_divide_exactly() {
	assert_eq!(mul_div(u128::MAX, u128::MAX, u128::MAX), u128::MAX);
	assert_eq!(mul_div(1 << 127, 6, 4), (1 << 127) + (1 << 126));
	assert_eq!(mul_div(u128::MAX, 2, 1), u128::MAX, "saturates");
	assert_eq!(mul_div(7, 3, 0), u128::MAX);
	assert_eq!(of_ppm(u128::MAX, 1_000_000), u128::MAX);
	assert_eq!(of_bps(10_001, 5_000), 5_000);
	assert_eq!(ratio_ppm(1, 3), 333_333);
	assert_eq!(ratio_ppm(1, 0), 0);
	assert_eq!(ratio_ppm(u128::MAX, 1), u32::MAX);
}

#[test]
fn smoothing_reaches_a_constant_sample() {
	let mut value = 1_000_000;
	for _ in 0..200 {
		value = smooth(value, 999_993, 8);
	}
	assert_eq!(value, 999_993);
	assert_eq!(smooth(0, 1, 8), 1);
	assert_eq!(smooth(80, 160, 8), 90);
	assert_eq!(smooth(5, 9, 0), 9, "a span of zero counts as one");
}

proptest! {
	#[test]
	fn quotient_and_remainder_rebuild_the_product(a in amount(), b in amount(), d in 1..=u128::MAX) {
		let (quotient, remainder) = Wide::product(a, b).div_rem(d.into());
		prop_assert!(remainder < d.into());
		if quotient <= u128::MAX.into() {
			prop_assert_eq!(Wide::product(quotient.saturated(), d).plus(remainder), Wide::product(a, b));
		}
	}

	#[test]
	fn wide_divisors_bound_the_product(a in amount(), b in amount(), c in amount(), d in amount()) {
		let divisor = Wide::product(c, d);
		prop_assume!(divisor > Wide::from(u128::MAX));
		let (quotient, remainder) = Wide::product(a, b).div_rem(divisor);
		prop_assert!(remainder < divisor);
		// quotient * c * d + remainder = a * b, checked where quotient * c fits.
		let Some(scaled) = quotient.saturated().checked_mul(c) else { return Ok(()) };
		prop_assert_eq!(Wide::product(scaled, d).plus(remainder), Wide::product(a, b));
	}

	#[test]
	fn small_values_agree_with_machine_arithmetic(a in any::<u64>(), b in any::<u64>(), d in 1..=u64::MAX) {
		let (a, b, d) = (a as u128, b as u128, d as u128);
		prop_assert_eq!(mul_div(a, b, d), a * b / d);
		prop_assert_eq!(Wide::product(a, b), Wide::from(a * b));
		prop_assert_eq!(Wide::from(a).plus(b.into()).times(d as u64).div_rem(d.into()).0, Wide::from(a + b));
	}

	#[test]
	fn an_average_stays_between_its_samples(previous in amount(), sample in amount(), span in any::<u32>()) {
		let next = smooth(previous, sample, span);
		prop_assert!(previous.min(sample) <= next && next <= previous.max(sample));
		prop_assert!(previous == sample || next != previous);
	}
}
