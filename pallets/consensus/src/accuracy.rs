//! How well a validator measured: distance from the medians, on both sides alike, and planted faults that it missed.
//!
//! `deviation = sum |x_j - med_j| / sum med_j` over the members assigned to it, so large members count for more. The
//! distance score falls linearly from one at no deviation to zero at the tolerance. It is multiplied by the share of
//! planted faults that the validator reported. Under-reporting costs exactly as much as over-reporting.
//!
//! Pay is best taken as `pro_rata(pool, pay_weight(stake, score), sum of stakes)`: what others fail to earn then goes to
//! nobody, and no validator gains from another's misfortune.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

use crate::{
	arith::{mul_div, of_ppm, Wide},
	BPS, PPM,
};

/// Deviation at which nothing is earned any more, basis points: 10 %.
pub const TOLERANCE_BPS: u16 = 1_000;

/// One assigned member as a validator saw it and as the median has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
	/// Units in the validator's row; `None` if the row leaves the member out, which counts like zero.
	pub reported: Option<u128>,
	/// The median over all assigned validators.
	pub median: u128,
}

/// A validator's score for an epoch, with its factors. All in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Accuracy {
	/// Deviation from the medians; `u32::MAX` if larger than that, or if units were reported where all medians are zero.
	pub deviation: u32,
	/// What remains of one after the deviation.
	pub distance: u32,
	/// Share of planted faults reported; one if none was planted.
	pub planted: u32,
	/// `distance * planted`.
	pub score: u32,
}

/// Scores a validator. `missed` is read as at most `planted`; a tolerance of zero accepts exact rows only.
pub fn accuracy(measured: &[Measured], tolerance_bps: u16, planted: u32, missed: u32) -> Accuracy {
	let off = measured.iter().fold(Wide::ZERO, |sum, entry| {
		sum.plus(entry.reported.unwrap_or(0).abs_diff(entry.median).into())
	});
	let all = Wide::sum(measured.iter().map(|entry| &entry.median));
	let deviation = share(off, all, PPM as u64);
	// Lost part: off / (all * tolerance), rounded down.
	let lost = match off == Wide::ZERO {
		true => 0,
		false => share(off.times(BPS as u64), all.times(tolerance_bps as u64), PPM as u64).min(PPM),
	};
	let distance = PPM.saturating_sub(lost);
	let caught = match planted {
		0 => PPM,
		_ => fraction(planted.saturating_sub(missed), planted),
	};
	let score = of_ppm(distance as u128, caught);
	Accuracy {
		deviation,
		distance,
		planted: caught,
		score: u32::try_from(score).unwrap_or(PPM),
	}
}

/// `floor(stake * score / 1_000_000)`: what a validator's claim weighs.
pub fn pay_weight(stake: u128, score: u32) -> u128 {
	of_ppm(stake, score.min(PPM))
}

fn fraction(part: u32, whole: u32) -> u32 {
	u32::try_from(mul_div(part as u128, PPM as u128, whole as u128)).unwrap_or(PPM)
}

fn share(part: Wide, whole: Wide, one: u64) -> u32 {
	if part == Wide::ZERO {
		return 0;
	}
	u32::try_from(part.times(one).div_rem(whole).0.saturated()).unwrap_or(u32::MAX)
}
