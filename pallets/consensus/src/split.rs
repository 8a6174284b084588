//! Exact division of an amount: by largest remainder among few parts, rounded down for claims.
//!
//! Largest remainder (Hamilton) gives every unit away and is used where the parts are few and fixed by governance (role
//! pools). One part more can gain one unit of rounding by splitting itself, so whoever can create identities is paid by
//! [`pro_rata`], where `floor(x) + floor(y) <= floor(x + y)` leaves nothing to gain.

use alloc::{vec, vec::Vec};
use core::cmp::Reverse;

use crate::arith::{mul_div, Wide};

/// Divides `total` in proportion to `weights`; the parts add up to `total` exactly.
///
/// Each part is the floor of its quota; the units left go one each to the largest remainders, ties to the lower index.
/// All parts are zero if all weights are (the caller keeps `total`). Products and the sum of weights are 256-bit.
pub fn largest_remainder(total: u128, weights: &[u128]) -> Vec<u128> {
	let sum = Wide::sum(weights);
	if sum == Wide::ZERO {
		return vec![0; weights.len()];
	}
	let quotas: Vec<(u128, Wide)> = weights
		.iter()
		.map(|weight| {
			let (quotient, remainder) = Wide::product(total, *weight).div_rem(sum);
			(quotient.saturated(), remainder)
		})
		.collect();
	let mut parts: Vec<u128> = quotas.iter().map(|(floor, _)| *floor).collect();
	let given = parts.iter().fold(0_u128, |given, part| given.saturating_add(*part));
	let left = usize::try_from(total.saturating_sub(given)).unwrap_or(usize::MAX);
	let mut order: Vec<(usize, Wide)> = quotas.iter().map(|(_, remainder)| *remainder).enumerate().collect();
	// Stable: equal remainders stay in index order.
	order.sort_by_key(|(_, remainder)| Reverse(*remainder));
	for (index, _) in order.into_iter().take(left) {
		if let Some(part) = parts.get_mut(index) {
			*part = part.saturating_add(1);
		}
	}
	parts
}

/// `floor(total * part / whole)`, with `part` read as at most `whole`; zero for an empty whole.
///
/// For parts that add up to no more than `whole` the results add up to no more than `total`, in any order of claiming.
pub fn pro_rata(total: u128, part: u128, whole: u128) -> u128 {
	if whole == 0 {
		return 0;
	}
	mul_div(total, part.min(whole), whole)
}
