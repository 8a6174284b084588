//! Stake-weighted medians, the cap on one voter's weight, and quorums.
//!
//! # The cap
//! A voter counts with at most `cap` of the counted weight *before* capping: `min(w_i, floor(cap * sum(w)))`. A cap
//! relative to the sum *after* capping (iterated to its fixed point) sounds stricter and is a hole: with ten voters it
//! levels all of them to the smallest, and a handful of large honest voters is then outvoted by accounts holding dust.
//! Here dust stays dust. With fewer than `ceil(1 / cap)` voters no cap can be met and none is applied.
//!
//! What it does not do: an owner above the cap can split into several accounts and escape it. Below the cap weight is
//! additive, so nobody gains by splitting. The cap bounds honest concentration (custodians, one lost key), not an
//! attacker; against an attacker stands the median itself.
//!
//! # The median
//! The lower one: the smallest value at which half of the weight is reached. Holders of less than half of the capped
//! weight cannot move it out of the range of the others' values; with exactly half they can pull it down, never up.

use alloc::vec::Vec;

use crate::{arith::Wide, BPS};

/// Weights limited to `cap_bps` of their sum each, in the order given; unchanged where fewer than `ceil(10_000 / cap_bps)`
/// of them are positive, or for a cap of zero.
pub fn cap_weights(weights: &[u128], cap_bps: u16) -> Vec<u128> {
	let voters = weights.iter().filter(|weight| **weight > 0).count();
	if cap_bps == 0 || voters < BPS.div_ceil(cap_bps) as usize {
		return weights.to_vec();
	}
	let cap = Wide::sum(weights)
		.times(cap_bps as u64)
		.div_rem(Wide::from(BPS as u128))
		.0
		.saturated();
	// At least one, so that dust-sized sums keep a median.
	weights.iter().map(|weight| (*weight).min(cap.max(1))).collect()
}

/// The lower weighted median of `(value, weight)` pairs: the smallest value `v` with
/// `2 * weight(values <= v) >= weight(all)`. Pairs without weight do not count; `None` if none counts.
pub fn weighted_median(votes: &[(u128, u128)]) -> Option<u128> {
	let mut counted: Vec<(u128, u128)> = votes.iter().copied().filter(|(_, weight)| *weight > 0).collect();
	counted.sort_unstable();
	let all = Wide::sum(counted.iter().map(|(_, weight)| weight));
	let mut reached = Wide::ZERO;
	for (value, weight) in counted {
		reached = reached.plus(weight.into());
		if reached.times(2) >= all {
			return Some(value);
		}
	}
	None
}

/// [`weighted_median`] over weights limited by [`cap_weights`].
pub fn capped_median(votes: &[(u128, u128)], cap_bps: u16) -> Option<u128> {
	let weights: Vec<u128> = votes.iter().map(|(_, weight)| *weight).collect();
	let capped: Vec<(u128, u128)> = votes
		.iter()
		.zip(cap_weights(&weights, cap_bps))
		.map(|((value, _), weight)| (*value, weight))
		.collect();
	weighted_median(&capped)
}

/// Whether `counted` is at least `quorum_bps` of `eligible`. Nothing counted is never a quorum.
pub fn quorum_met(counted: u128, eligible: u128, quorum_bps: u16) -> bool {
	counted > 0 && Wide::product(counted, BPS as u128) >= Wide::product(eligible, quorum_bps as u128)
}
