//! Scarcity: roles whose attested capacity is in demand earn more between reviews, within narrow bounds.
//!
//! `m = clamp(sqrt(u / u_target), 1/2, 2)` with `u` = attested served units / attested capacity, smoothed over
//! [`SPAN`] epochs. Effective weights are `w_i * m_i`, normalised. Whoever withholds half of all capacity raises the
//! role's share by at most `sqrt(2)`, later, and earns on half as many units.

use alloc::vec::Vec;

use crate::{
	arith::{mul_div, smooth, Wide},
	split::largest_remainder,
	PPM,
};

/// Least multiplier, parts per million.
pub const LEAST: u32 = PPM / 2;
/// Greatest multiplier, parts per million.
pub const GREATEST: u32 = PPM * 2;
/// Epochs over which the multiplier is smoothed (factor `1 / SPAN`).
pub const SPAN: u32 = 8;

/// `clamp(sqrt((served / capacity) / target), 1/2, 2)` in parts per million, rounded down; `target_ppm` is the use aimed
/// at (zero is read as one part per million). `None` without capacity: then nothing is known.
pub fn multiplier(served: u128, capacity: u128, target_ppm: u32) -> Option<u32> {
	if capacity == 0 {
		return None;
	}
	const SQUARE: u128 = PPM as u128 * PPM as u128;
	// served * 10^6 / (capacity * target): a value above 4 is clamped anyway, so that saturation does no harm.
	let (ratio, _) = Wide::product(served, SQUARE)
		.times(PPM as u64)
		.div_rem(Wide::product(capacity, target_ppm.max(1) as u128));
	let root = ratio.saturated().isqrt();
	Some(u32::try_from(root).unwrap_or(u32::MAX).clamp(LEAST, GREATEST))
}

/// The smoothed multiplier after an epoch in which `served` of `capacity` was used; unchanged without capacity.
pub fn next_multiplier(previous: u32, served: u128, capacity: u128, target_ppm: u32) -> u32 {
	let Some(sample) = multiplier(served, capacity, target_ppm) else {
		return previous;
	};
	u32::try_from(smooth(previous as u128, sample as u128, SPAN)).unwrap_or(u32::MAX)
}

/// `w_i * m_i` normalised to [`PPM`] by largest remainder; a missing multiplier counts as one.
///
/// If all products are zero the weights come back as they were.
pub fn effective(weights: &[u32], multipliers: &[u32]) -> Vec<u32> {
	let factors = multipliers.iter().copied().chain(core::iter::repeat(PPM));
	let products: Vec<u128> = weights
		.iter()
		.zip(factors)
		.map(|(weight, factor)| (*weight as u128).saturating_mul(factor as u128))
		.collect();
	if products.iter().all(|product| *product == 0) {
		return weights.to_vec();
	}
	let parts = largest_remainder(PPM as u128, &products);
	parts
		.into_iter()
		.map(|part| u32::try_from(part).unwrap_or(PPM))
		.collect()
}

/// Use in parts per million: `floor(served * 10^6 / capacity)`, at most `u32::MAX`; zero without capacity. For display.
pub fn utilisation(served: u128, capacity: u128) -> u32 {
	if capacity == 0 {
		return 0;
	}
	u32::try_from(mul_div(served, PPM as u128, capacity)).unwrap_or(u32::MAX)
}
