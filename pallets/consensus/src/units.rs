//! Units: the integer cost of work, and how much of what was attested is paid.
//!
//! `cost = blocks * (a * params_per_block * new_tokens + b * d_model * attended)` where `attended` adds up, over the new
//! tokens, the positions each attends to ([`attended`]): the context times the tokens, exact for any chunking. Cutting a
//! span, a prefill or a session in two changes nothing before the division by [`COST_PER_UNIT`] and can only lose by it.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

use crate::{
	arith::{mul_div, of_bps, of_ppm, total},
	scarcity::GREATEST,
	split::pro_rata,
	PPM,
};

/// Cost (about one multiply-add each) that makes one unit.
pub const COST_PER_UNIT: u128 = 1_000_000;

/// What kind of pass was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Kind {
	/// Many new tokens at once.
	Prefill,
	/// One or few new tokens: bound by memory, dearer per token.
	Decode,
	/// A backward pass, with the forward pass that it recomputes.
	Backward,
}

/// Cost of one kind of pass: `a` per parameter and token, `b` per width, token and attended position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Coefficients {
	/// Per parameter of a block and new token.
	pub a: u16,
	/// Per unit of model width, new token and position attended to.
	pub b: u16,
}

/// Coefficients of all kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Prices {
	/// For [`Kind::Prefill`].
	pub prefill: Coefficients,
	/// For [`Kind::Decode`].
	pub decode: Coefficients,
	/// For [`Kind::Backward`].
	pub backward: Coefficients,
}

impl Default for Prices {
	/// Multiply-adds for prefill (one per parameter; scores and values, one each per width and position); decode four times
	/// that, for it reads all weights for few tokens; backward three times (recomputed forward, gradient of the input,
	/// and the attention's three extra products).
	fn default() -> Self {
		Self {
			prefill: Coefficients { a: 1, b: 2 },
			decode: Coefficients { a: 4, b: 8 },
			backward: Coefficients { a: 3, b: 6 },
		}
	}
}

/// A pass over a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Work {
	/// What was run.
	pub kind: Kind,
	/// Blocks of the span.
	pub blocks: u32,
	/// Parameters of one block that are used for a token.
	pub params_per_block: u64,
	/// Model width.
	pub d_model: u32,
	/// Tokens not seen before in the session.
	pub new_tokens: u64,
	/// Positions attended to, added up over the new tokens: see [`attended`].
	pub attended: u128,
}

/// What an identity or device may be paid for, besides what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct PayCaps {
	/// Bond that one paid unit per epoch needs; zero: a bond covers nothing.
	pub bond_per_unit: u128,
	/// Part of the measured capacity that is paid without any bond, at first, basis points.
	pub bondless_start_bps: u16,
	/// What each clean epoch adds to it, basis points.
	pub bondless_step_bps: u16,
	/// Where it ends, basis points.
	pub bondless_max_bps: u16,
	/// Greatest share of one provider's units that one client key may contribute, basis points.
	pub client_share_bps: u16,
}

/// Positions attended to by `new_tokens` tokens after `position` earlier ones: `sum_{i=1..n} (position + i)`, saturating.
pub fn attended(position: u64, new_tokens: u64) -> u128 {
	let (position, count) = (position as u128, new_tokens as u128);
	// At most 2^128 - 2^65 + 2^127: the sum alone can leave the range.
	let triangle = if count % 2 == 0 {
		(count / 2).saturating_mul(count.saturating_add(1))
	} else {
		count.saturating_mul(count.div_ceil(2))
	};
	position.saturating_mul(count).saturating_add(triangle)
}

/// Cost of a pass, saturating.
pub fn cost(prices: &Prices, work: &Work) -> u128 {
	let price = match work.kind {
		Kind::Prefill => prices.prefill,
		Kind::Decode => prices.decode,
		Kind::Backward => prices.backward,
	};
	let dense = (price.a as u128)
		.saturating_mul(work.params_per_block as u128)
		.saturating_mul(work.new_tokens as u128);
	let attention = (price.b as u128)
		.saturating_mul(work.d_model as u128)
		.saturating_mul(work.attended);
	dense.saturating_add(attention).saturating_mul(work.blocks as u128)
}

/// Whole units of a cost, rounded down; at most `u64::MAX`. Add costs first and divide once.
pub fn units(cost: u128) -> u64 {
	u64::try_from(cost / COST_PER_UNIT).unwrap_or(u64::MAX)
}

/// Units of one provider after the cap on what one client key contributes: `sum_c min(u_c, floor(share * sum u))`.
pub fn client_capped(by_client: &[u128], share_bps: u16) -> u128 {
	let cap = of_bps(total(by_client), share_bps);
	by_client
		.iter()
		.fold(0, |sum: u128, units| sum.saturating_add((*units).min(cap)))
}

/// Units that may be paid at most: those that the bond covers, and the bondless part of the measured capacity.
///
/// The bondless part is a share of what probes of all identities at the same moment measured, so that one device behind
/// many identities is paid once. Both parts are added: with the greater of the two alone, moving capacity away from the
/// bond to a second identity would pay.
pub fn bond_cap(caps: &PayCaps, bond: u128, measured_capacity: u128, clean_epochs: u32) -> u128 {
	let covered = bond.checked_div(caps.bond_per_unit).unwrap_or(0);
	let grown = (caps.bondless_step_bps as u32).saturating_mul(clean_epochs);
	let bps = grown
		.saturating_add(caps.bondless_start_bps as u32)
		.min(caps.bondless_max_bps as u32);
	let bondless = of_bps(measured_capacity, u16::try_from(bps).unwrap_or(u16::MAX));
	covered.saturating_add(bondless)
}

/// Units that are paid: `floor(min(attested, cap, capacity) * pass_rate / 1_000_000)`, `pass_rate` being the lower bound
/// of the audits' pass rate in parts per million (read as at most one).
pub fn rewarded(attested: u128, cap: u128, measured_capacity: u128, pass_rate_ppm: u32) -> u128 {
	of_ppm(attested.min(cap).min(measured_capacity), pass_rate_ppm.min(PPM))
}

/// Units for standing ready: `capacity * rate * time online * scarcity of the hosted blocks`, factors in parts per
/// million, so that a quiet network still pays.
///
/// Of time at most one counts, of scarcity at most two ([`crate::scarcity::GREATEST`]). Capacity is measured units per epoch.
pub fn standing(capacity: u128, online_ppm: u32, scarcity_ppm: u32, rate_ppm: u32) -> u128 {
	let factor = (online_ppm.min(PPM) as u128)
		.saturating_mul(scarcity_ppm.min(GREATEST) as u128)
		.saturating_mul(rate_ppm as u128);
	const CUBE: u128 = PPM as u128 * PPM as u128 * PPM as u128;
	mul_div(capacity, factor, CUBE)
}

/// A member's part of its role's pool: [`pro_rata`] by units, so that splitting an identity gains nothing.
pub fn pay(pool: u128, units: u128, all_units: u128) -> u128 {
	pro_rata(pool, units, all_units)
}
