//! How much a fault may cost in total, and the breaker that stops automatic slashing when it runs away.
//!
//! Limits are shares of the bond that stood before this window's slashes, per incident, per day and per month (30 days).
//! Days and months are tumbling windows: at their border two limits can meet, never more.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

use crate::arith::{of_bps, smooth};

/// Shares of a bond that may be lost, basis points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct SlashCaps {
	/// For one incident.
	pub incident_bps: u16,
	/// Within one day.
	pub day_bps: u16,
	/// Within 30 days.
	pub month_bps: u16,
}

impl Default for SlashCaps {
	fn default() -> Self {
		Self {
			incident_bps: 500,
			day_bps: 1_000,
			month_bps: 3_000,
		}
	}
}

/// What was slashed in the current windows (of one bond, or of all).
#[derive(
	Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Slashed {
	/// Number of the day that `in_day` is about.
	pub day: u32,
	/// Slashed in that day.
	pub in_day: u128,
	/// Slashed in the month (`day / 30`) of that day.
	pub in_month: u128,
}

/// Days of a month.
pub const MONTH: u32 = 30;

impl Slashed {
	/// The same record seen on `today`: windows that are over are empty. A day before the record's counts as the record's.
	pub fn on(self, today: u32) -> Self {
		let today = today.max(self.day);
		Self {
			day: today,
			in_day: if today == self.day { self.in_day } else { 0 },
			in_month: if today / MONTH == self.day / MONTH {
				self.in_month
			} else {
				0
			},
		}
	}

	/// What may be slashed of `bond` for an incident that asks for `wanted`, and the record after it.
	///
	/// Never more than wanted, than the bond, or than the three limits leave.
	pub fn take(self, caps: &SlashCaps, today: u32, bond: u128, wanted: u128) -> (u128, Self) {
		let now = self.on(today);
		let before_day = bond.saturating_add(now.in_day);
		let before_month = bond.saturating_add(now.in_month);
		let amount = wanted
			.min(bond)
			.min(of_bps(bond, caps.incident_bps))
			.min(of_bps(before_day, caps.day_bps).saturating_sub(now.in_day))
			.min(of_bps(before_month, caps.month_bps).saturating_sub(now.in_month));
		let after = Self {
			in_day: now.in_day.saturating_add(amount),
			in_month: now.in_month.saturating_add(amount),
			..now
		};
		(amount, after)
	}
}

/// Automatic slashes as a rate: how many an epoch usually sees, in thousandths, and how many this one has seen.
#[derive(
	Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Breaker {
	/// Smoothed incidents per epoch, in thousandths.
	pub usual: u64,
	/// Incidents of the running epoch.
	pub seen: u32,
}

/// How many times the usual rate opens the breaker.
pub const BREAKER_FACTOR: u64 = 3;
/// Epochs over which the usual rate is smoothed.
pub const BREAKER_SPAN: u32 = 32;
const MILLI: u64 = 1_000;

impl Breaker {
	/// Whether one more automatic slash in this epoch would pass three times the usual rate, that rate being read as at
	/// least `floor` incidents per epoch (a quiet network has no usual rate). Then it waits for governance.
	pub fn is_open(&self, floor: u32) -> bool {
		let usual = self.usual.max((floor as u64).saturating_mul(MILLI));
		let after = (self.seen as u64).saturating_add(1).saturating_mul(MILLI);
		after > usual.saturating_mul(BREAKER_FACTOR)
	}

	/// Records an incident, slashed or held back.
	pub fn record(self) -> Self {
		Self {
			seen: self.seen.saturating_add(1),
			..self
		}
	}

	/// Closes the epoch: the usual rate follows, by at most [`BREAKER_FACTOR`] times itself (or `floor`) as a sample, so that
	/// a flood cannot teach the breaker to let it through.
	pub fn next_epoch(self, floor: u32) -> Self {
		let usual = self.usual.max((floor as u64).saturating_mul(MILLI));
		let sample = (self.seen as u64)
			.saturating_mul(MILLI)
			.min(usual.saturating_mul(BREAKER_FACTOR));
		let usual = smooth(self.usual as u128, sample as u128, BREAKER_SPAN);
		Self {
			usual: u64::try_from(usual).unwrap_or(u64::MAX),
			seen: 0,
		}
	}
}
