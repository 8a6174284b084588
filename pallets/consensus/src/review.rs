//! The periodic review of role weights: ballots in, next weights out, with every intermediate figure kept.
//!
//! 1. Ballots: basis points per role that add up to 10,000, with the stake locked behind them.
//! 2. Each stake is capped ([`crate::median`]); without a quorum of the eligible stake nothing changes.
//! 3. Per role, the stake-weighted lower median; medians are normalised to [`PPM`] by largest remainder. Medians need
//!    not add up to one, so a voter may gain by overstating its taste; the step limit bounds what a review can be worth.
//! 4. From the weights in force towards that target, at most `max_step` per role, inside each role's floor and ceiling,
//!    adding up to [`PPM`] exactly ([`fit`]).

use alloc::vec::Vec;

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

use crate::{
	arith::{total, Wide},
	median::{cap_weights, quorum_met, weighted_median},
	split::largest_remainder,
	RoleId, BPS, PPM,
};

/// A role as the review sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct RoleState {
	/// Id of the role.
	pub id: RoleId,
	/// Weight in force, parts per million. All roles' weights add up to [`PPM`].
	pub weight: u32,
	/// Least weight, parts per million: 1 % for a role in use, 0 for one that waits to be voted in or is retired.
	pub floor: u32,
	/// Greatest weight, parts per million: 70 % for a role in use, 0 for a retired one.
	pub ceiling: u32,
}

/// How votes are counted and how fast weights move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct ReviewParams {
	/// Greatest share of the counted stake that one voter has, basis points.
	pub cap_bps: u16,
	/// Stake that must have voted, basis points of the eligible stake.
	pub quorum_bps: u16,
	/// How far a role's weight may move in one review, parts per million.
	pub max_step: u32,
	/// Reviews for which a ballot counts after it was cast or confirmed.
	pub vote_life: u32,
}

impl Default for ReviewParams {
	fn default() -> Self {
		Self {
			cap_bps: 1_000,
			quorum_bps: 2_000,
			max_step: 50_000,
			vote_life: 2,
		}
	}
}

/// One voter's wish, with the stake behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ballot {
	/// Stake locked for this vote.
	pub stake: u128,
	/// `(role, basis points)`, roles strictly increasing, adding up to [`BPS`]. A role left out is given zero.
	pub weights: Vec<(RoleId, u16)>,
}

/// Why a ballot is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum BallotError {
	/// Roles are not strictly increasing.
	NotSorted,
	/// A role is not open to votes.
	UnknownRole,
	/// The parts do not add up to 10,000.
	WrongSum,
}

/// Why a review cannot be held: the caller's state is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum ReviewError {
	/// The weights in force do not add up to [`PPM`].
	WeightsNotNormalised,
	/// Role ids are not strictly increasing.
	RolesNotSorted,
}

/// A review with all it rests on, role figures in the order of the roles given, voter figures in that of the ballots.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Review {
	/// Stake that voted, before the cap (saturating).
	pub counted: u128,
	/// Stake that could have voted.
	pub eligible: u128,
	/// Whether the quorum was met. If not, `next` is what was in force.
	pub quorum_met: bool,
	/// Each voter's stake as counted, after the cap.
	pub capped: Vec<u128>,
	/// Median per role, basis points; not normalised.
	pub medians: Vec<u16>,
	/// The medians normalised to [`PPM`]: where the weights would go without step, floor and ceiling.
	pub target: Vec<u32>,
	/// The weights from now on; they add up to [`PPM`].
	pub next: Vec<u32>,
}

/// Checks a ballot against the ids that are open to votes (sorted).
pub fn check_ballot(weights: &[(RoleId, u16)], open: &[RoleId]) -> Result<(), BallotError> {
	let pairs = weights.iter().zip(weights.iter().skip(1));
	if pairs.into_iter().any(|((a, _), (b, _))| a >= b) {
		return Err(BallotError::NotSorted);
	}
	if weights.iter().any(|(role, _)| !open.contains(role)) {
		return Err(BallotError::UnknownRole);
	}
	let sum = weights
		.iter()
		.fold(0_u64, |sum, (_, part)| sum.saturating_add(*part as u64));
	if sum == BPS as u64 {
		Ok(())
	} else {
		Err(BallotError::WrongSum)
	}
}

/// Whether a ballot cast or confirmed before review number `since` still counts in review number `now`.
///
/// With a life of two, a ballot counts in the first two reviews after it was given.
pub fn ballot_counts(since: u32, now: u32, vote_life: u32) -> bool {
	now.checked_sub(since).is_some_and(|age| age < vote_life)
}

/// Holds a review. Ballots must have passed [`check_ballot`]; those without stake do not count.
pub fn review(
	params: &ReviewParams,
	roles: &[RoleState],
	ballots: &[Ballot],
	eligible: u128,
) -> Result<Review, ReviewError> {
	if roles.iter().zip(roles.iter().skip(1)).any(|(a, b)| a.id >= b.id) {
		return Err(ReviewError::RolesNotSorted);
	}
	let current: Vec<u32> = roles.iter().map(|role| role.weight).collect();
	if sum_u32(&current) != PPM as u64 {
		return Err(ReviewError::WeightsNotNormalised);
	}
	let stakes: Vec<u128> = ballots.iter().map(|ballot| ballot.stake).collect();
	let counted = total(&stakes);
	let capped = cap_weights(&stakes, params.cap_bps);
	let medians: Vec<u16> = roles.iter().map(|role| median_of(role.id, ballots, &capped)).collect();
	let target = target_of(&medians).unwrap_or_else(|| current.clone());
	let quorum = quorum_met(counted, eligible, params.quorum_bps);
	let next = if quorum {
		step(roles, &target, params.max_step)
	} else {
		current
	};
	Ok(Review {
		counted,
		eligible,
		quorum_met: quorum,
		capped,
		medians,
		target,
		next,
	})
}

/// Weights nearest to `target` that add up to [`PPM`] with each inside `[lower, upper]`; `None` if there are none.
///
/// Each target is clamped to its interval; what is then missing is added in proportion to the room left above
/// (largest remainder), what is too much is taken in proportion to the room left below. Neither can leave an interval.
pub fn fit(target: &[u32], lower: &[u32], upper: &[u32]) -> Option<Vec<u32>> {
	let same_length = target.len() == lower.len() && target.len() == upper.len();
	let ordered = lower.iter().zip(upper).all(|(low, high)| low <= high);
	let one = PPM as u64;
	if !same_length || !ordered || sum_u32(lower) > one || sum_u32(upper) < one {
		return None;
	}
	let bounds = || lower.iter().zip(upper);
	let clamped: Vec<u32> = target
		.iter()
		.zip(bounds())
		.map(|(wish, (low, high))| (*wish).clamp(*low, *high))
		.collect();
	let sum = sum_u32(&clamped);
	let room: Vec<u128> = clamped
		.iter()
		.zip(bounds())
		.map(|(value, (low, high))| {
			if sum < one {
				high.saturating_sub(*value)
			} else {
				value.saturating_sub(*low)
			}
		})
		.map(u128::from)
		.collect();
	let moves = largest_remainder(one.abs_diff(sum) as u128, &room);
	let moved = clamped.iter().zip(moves).map(|(value, by)| {
		let by = u32::try_from(by).unwrap_or(u32::MAX);
		if sum < one {
			value.saturating_add(by)
		} else {
			value.saturating_sub(by)
		}
	});
	Some(moved.collect())
}

/// One limited step from the weights in force towards `target`, within floors and ceilings.
///
/// A weight outside its role's bounds (after governance moved them) walks towards them by at most one step a review. Where
/// the bounds cannot all be kept at once the step limit alone holds: the weights in force always satisfy that.
fn step(roles: &[RoleState], target: &[u32], max_step: u32) -> Vec<u32> {
	let reach = |role: &RoleState| {
		let low = role.weight.saturating_sub(max_step);
		(low, role.weight.saturating_add(max_step).min(PPM).max(low))
	};
	let (low, high): (Vec<u32>, Vec<u32>) = roles.iter().map(reach).unzip();
	let bounded = |bound: fn(&RoleState) -> u32| -> Vec<u32> {
		let limits = low.iter().zip(&high);
		roles
			.iter()
			.zip(limits)
			.map(|(role, (low, high))| bound(role).clamp(*low, *high))
			.collect()
	};
	let floors = bounded(|role| role.floor);
	let ceilings = bounded(|role| role.ceiling.max(role.floor));
	fit(target, &floors, &ceilings)
		.or_else(|| fit(target, &low, &high))
		.unwrap_or_else(|| roles.iter().map(|role| role.weight).collect())
}

fn median_of(role: RoleId, ballots: &[Ballot], capped: &[u128]) -> u16 {
	let wish = |ballot: &Ballot| {
		ballot
			.weights
			.iter()
			.find(|(id, _)| *id == role)
			.map_or(0, |(_, part)| *part as u128)
	};
	let votes: Vec<(u128, u128)> = ballots.iter().map(wish).zip(capped.iter().copied()).collect();
	weighted_median(&votes)
		.and_then(|median| u16::try_from(median).ok())
		.unwrap_or(0)
}

fn target_of(medians: &[u16]) -> Option<Vec<u32>> {
	let weights: Vec<u128> = medians.iter().map(|median| *median as u128).collect();
	if Wide::sum(&weights) == Wide::ZERO {
		return None;
	}
	let parts = largest_remainder(PPM as u128, &weights);
	Some(
		parts
			.into_iter()
			.map(|part| u32::try_from(part).unwrap_or(PPM))
			.collect(),
	)
}

fn sum_u32(values: &[u32]) -> u64 {
	values
		.iter()
		.fold(0, |sum: u64, value| sum.saturating_add(*value as u64))
}
