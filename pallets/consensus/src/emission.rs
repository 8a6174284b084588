//! What an epoch pays: a halving schedule, spent from a pot first and minted for the rest, never above the supply cap.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

use crate::arith::Wide;

/// The schedule of emission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Schedule {
	/// What each epoch pays before the first halving.
	pub initial: u128,
	/// Epochs between halvings; zero means that nothing is ever halved.
	pub halving: u32,
	/// Hard cap on the total issuance.
	pub cap: u128,
}

/// Where an epoch's pool comes from.
#[derive(
	Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Draw {
	/// Taken from the pot (what was donated, slashed or came back).
	pub spend: u128,
	/// Newly minted.
	pub mint: u128,
}

impl Draw {
	/// The whole pool.
	pub fn pool(&self) -> u128 {
		self.spend.saturating_add(self.mint)
	}
}

/// What the schedule grants in `epoch`: `floor(initial / 2^(epoch / halving))`.
pub fn scheduled(schedule: &Schedule, epoch: u32) -> u128 {
	let halvings = epoch.checked_div(schedule.halving).unwrap_or(0);
	schedule.initial.checked_shr(halvings).unwrap_or(0)
}

/// The pool of `epoch`: the scheduled amount, from the pot as far as it reaches, the rest minted as far as
/// `issuance + mint <= cap` allows. The pool is smaller than scheduled only when both are exhausted.
pub fn draw(schedule: &Schedule, epoch: u32, issuance: u128, pot: u128) -> Draw {
	let wanted = scheduled(schedule, epoch);
	let spend = wanted.min(pot);
	let mint = wanted.saturating_sub(spend).min(schedule.cap.saturating_sub(issuance));
	Draw { spend, mint }
}

/// All that the schedule grants in epochs `0..epochs`, saturating: shows at genesis that a schedule ends below its cap.
pub fn granted(schedule: &Schedule, epochs: u32) -> u128 {
	if schedule.halving == 0 {
		return schedule.initial.saturating_mul(epochs as u128);
	}
	let (mut sum, mut left, mut amount) = (Wide::ZERO, epochs, schedule.initial);
	while left > 0 && amount > 0 {
		let here = left.min(schedule.halving);
		sum = sum.plus(Wide::product(amount, here as u128));
		left = left.saturating_sub(here);
		amount >>= 1;
	}
	sum.saturated()
}
