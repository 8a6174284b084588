//! The numbers that governance may change, and the limits between which they make sense.

use crate::types::{Balance, BPS};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use peerz_consensus::{
	assignment::AssignmentParams, emission::Schedule, review::ReviewParams, slash::SlashCaps, units::PayCaps,
};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};

/// One PRZ in its smallest unit.
pub const PRZ: Balance = 1_000_000_000_000;

/// Amounts in JSON: numbers as far as JSON readers take them, strings of digits beyond.
mod amount {
	use super::Balance;
	use alloc::string::ToString;
	use core::fmt;
	use serde::{
		de::{Error, Visitor},
		Deserializer, Serializer,
	};

	pub fn serialize<S: Serializer>(amount: &Balance, serializer: S) -> Result<S::Ok, S::Error> {
		match u64::try_from(*amount) {
			Ok(small) => serializer.serialize_u64(small),
			Err(_) => serializer.serialize_str(&amount.to_string()),
		}
	}

	pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Balance, D::Error> {
		struct Amount;
		impl Visitor<'_> for Amount {
			type Value = Balance;

			fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
				formatter.write_str("an amount as a number or as a string of digits")
			}

			fn visit_u64<E: Error>(self, amount: u64) -> Result<Balance, E> {
				Ok(amount.into())
			}

			fn visit_u128<E: Error>(self, amount: u128) -> Result<Balance, E> {
				Ok(amount)
			}

			fn visit_str<E: Error>(self, amount: &str) -> Result<Balance, E> {
				amount.parse().map_err(E::custom)
			}
		}
		deserializer.deserialize_any(Amount)
	}
}

/// Everything that governance may tune. Lengths of phases are in blocks and count from the next phase on.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo, Serialize, Deserialize,
)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
	/// Blocks of the commit phase.
	pub commit_blocks: u32,
	/// Blocks of the reveal phase.
	pub reveal_blocks: u32,
	/// Blocks of a whole epoch, at least: it does not end before it is finalised.
	pub epoch_blocks: u32,
	/// Steps of finalising that an idle block runs by itself.
	pub idle_steps: u32,

	/// Epochs between two reviews of the weights.
	pub review_epochs: u32,
	/// Reviews that a vote counts in without being confirmed.
	pub vote_reviews: u32,
	/// Least lock of a vote.
	#[serde(with = "amount")]
	pub min_vote: Balance,
	/// Epochs from taking a vote back to the release of its lock.
	pub vote_unlock_epochs: u32,
	/// Greatest share of one voter in the counted stake, in basis points.
	pub voter_cap: u16,
	/// Share of the locked stake that must be counted, in basis points.
	pub vote_quorum: u16,
	/// Greatest move of a weight in one review, in parts per million.
	pub weight_step: u32,

	/// Validators that are assigned to a subject when there are more than `assign_all_up_to`.
	pub assigned: u32,
	/// Number of validators up to which all are assigned to everything.
	pub assign_all_up_to: u32,
	/// Greatest share of one validator in a median, in basis points, where there are enough of them.
	pub validator_cap: u16,
	/// Relative distance from the medians at which a validator earns nothing, in basis points.
	pub tolerance: u16,

	/// Part of the measured capacity that is paid without a bond at first, in basis points.
	pub bondless_start: u16,
	/// What each clean epoch adds to it, in basis points.
	pub bondless_step: u16,
	/// Where it ends, in basis points.
	pub bondless_max: u16,
	/// Bond that one more paid unit needs.
	#[serde(with = "amount")]
	pub bond_per_unit: Balance,
	/// Epochs for which a bondless provider's pay is withheld.
	pub withheld_epochs: u32,

	/// Epochs from unbonding to withdrawing. Longer than `dispute_epochs` and `slash_delay` together, by three.
	pub unbonding_epochs: u32,
	/// Epochs in which a dispute can be judged.
	pub dispute_epochs: u32,
	/// Epochs from a slash's decision to its application.
	pub slash_delay: u32,
	/// Epochs for which the slashed are out.
	pub jail_epochs: u32,
	/// Part of the bond that equivocation costs, in basis points.
	pub equivocation_slash: u16,
	/// Part of the bond that a hidden row costs, in basis points.
	pub hidden_row_slash: u16,
	/// Part of the bond that a reproduced failure costs, in basis points.
	pub reproduced_slash: u16,
	/// Reporter's part of a slash, in basis points.
	pub reporter_share: u16,
	/// Greatest part of a bond that one incident costs, in basis points.
	pub incident_cap: u16,
	/// The same for a day.
	pub day_cap: u16,
	/// The same for a month.
	pub month_cap: u16,
	/// Epochs in a day. A month has thirty days.
	pub day_epochs: u32,
	/// Slashes per epoch that count as usual at least: the breaker stops them at three times the usual.
	pub breaker_floor: u32,
	/// Reproduced failures of one kernel class in one epoch from which governance must decide.
	pub class_hold: u32,

	/// Held for a registered provider, validator or member.
	#[serde(with = "amount")]
	pub subject_deposit: Balance,
	/// Held for a registered model.
	#[serde(with = "amount")]
	pub model_deposit: Balance,
	/// Held for a node key.
	#[serde(with = "amount")]
	pub key_deposit: Balance,
	/// Held for an opened dispute.
	#[serde(with = "amount")]
	pub dispute_deposit: Balance,
	/// Longest time for which a binding may hold, in seconds.
	pub max_binding_seconds: u64,

	/// Emission of one epoch before the first halving.
	#[serde(with = "amount")]
	pub emission: Balance,
	/// Epochs between two halvings.
	pub halving_epochs: u32,
	/// Supply that emission never passes.
	#[serde(with = "amount")]
	pub max_supply: Balance,
}

impl Default for Parameters {
	fn default() -> Self {
		Self {
			commit_blocks: 200,
			reveal_blocks: 100,
			epoch_blocks: 600,
			idle_steps: 1,
			review_epochs: 28,
			vote_reviews: 2,
			min_vote: 10 * PRZ,
			vote_unlock_epochs: 28,
			voter_cap: 1_000,
			vote_quorum: 2_000,
			weight_step: 50_000,
			assigned: 15,
			assign_all_up_to: 16,
			validator_cap: 1_000,
			tolerance: 1_000,
			bondless_start: 500,
			bondless_step: 50,
			bondless_max: 2_500,
			bond_per_unit: 1_000_000,
			withheld_epochs: 4,
			unbonding_epochs: 28,
			dispute_epochs: 12,
			slash_delay: 8,
			jail_epochs: 24,
			equivocation_slash: 2_000,
			hidden_row_slash: 10,
			reproduced_slash: 500,
			reporter_share: 1_000,
			incident_cap: 2_000,
			day_cap: 3_000,
			month_cap: 5_000,
			day_epochs: 24,
			breaker_floor: 3,
			class_hold: 3,
			subject_deposit: PRZ / 10,
			model_deposit: 10 * PRZ,
			key_deposit: PRZ / 10,
			dispute_deposit: 10 * PRZ,
			max_binding_seconds: 366 * 24 * 3_600,
			emission: 10_000 * PRZ,
			halving_epochs: 17_520,
			max_supply: 1_000_000_000 * PRZ,
		}
	}
}

impl Parameters {
	/// Whether the numbers fit together.
	pub fn is_valid(&self) -> bool {
		let shares = [
			self.voter_cap,
			self.vote_quorum,
			self.bondless_start,
			self.bondless_step,
			self.bondless_max,
			self.validator_cap,
			self.tolerance,
			self.equivocation_slash,
			self.hidden_row_slash,
			self.reproduced_slash,
			self.reporter_share,
			self.incident_cap,
			self.day_cap,
			self.month_cap,
		];
		let positive = [
			self.commit_blocks,
			self.reveal_blocks,
			self.review_epochs,
			self.vote_reviews,
			// The panel is drawn in the epoch after the opening.
			self.dispute_epochs,
			self.assigned,
			self.day_epochs,
			self.class_hold,
			self.halving_epochs,
		];
		// Sums of u32 in u64: they cannot overflow.
		let sum = |a: u32, b: u32| u64::from(a) + u64::from(b);
		shares.iter().all(|share| *share <= BPS)
			&& positive.iter().all(|number| *number > 0)
			&& self.tolerance > 0
			&& self.voter_cap > 0
			&& self.validator_cap > 0
			&& self.bond_per_unit > 0
			&& self.incident_cap <= self.day_cap
			&& self.day_cap <= self.month_cap
			&& sum(self.commit_blocks, self.reveal_blocks) < u64::from(self.epoch_blocks)
			// A bond leaves only when nothing that it stood for can be disputed any more, and a validator only after its last
			// row: it may be frozen for the epoch after the one in which it leaves, which is attested in the one after that.
			&& sum(self.dispute_epochs, self.slash_delay) + 3 <= u64::from(self.unbonding_epochs)
			&& self.weight_step <= peerz_consensus::PPM
			&& u64::from(self.assigned) <= u64::from(crate::types::MAX_VALIDATORS)
			&& u64::from(self.assign_all_up_to) <= u64::from(crate::types::MAX_VALIDATORS)
	}

	/// How votes are counted.
	pub(crate) fn review(&self) -> ReviewParams {
		ReviewParams {
			cap_bps: self.voter_cap,
			quorum_bps: self.vote_quorum,
			max_step: self.weight_step,
			vote_life: self.vote_reviews,
		}
	}

	/// How many validators attest a subject.
	pub(crate) fn assignment(&self) -> AssignmentParams {
		AssignmentParams {
			all_up_to: self.assign_all_up_to,
			k: self.assigned,
		}
	}

	/// What a provider may be paid for.
	pub(crate) fn pay_caps(&self) -> PayCaps {
		PayCaps {
			bond_per_unit: self.bond_per_unit,
			bondless_start_bps: self.bondless_start,
			bondless_step_bps: self.bondless_step,
			bondless_max_bps: self.bondless_max,
			// Applied by the validators: the chain does not know clients.
			client_share_bps: BPS,
		}
	}

	/// What may be slashed.
	pub(crate) fn slash_caps(&self) -> SlashCaps {
		SlashCaps {
			incident_bps: self.incident_cap,
			day_bps: self.day_cap,
			month_bps: self.month_cap,
		}
	}

	/// What is emitted.
	pub(crate) fn schedule(&self) -> Schedule {
		Schedule {
			initial: self.emission,
			halving: self.halving_epochs,
			cap: self.max_supply,
		}
	}
}
