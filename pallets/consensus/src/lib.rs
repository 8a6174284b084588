//! The mathematics of Peerz's consensus: what role weights a vote gives, what an epoch pays, and to whom.
//!
//! Pure functions over integers. Nothing here reads storage, a clock or a random source, and nothing panics: inputs
//! are valid for their whole type, sums that leave 128 bits are either carried in 256 ([`arith`]) or saturate, and each
//! function says which. The Python twin `chain_client.consensus` computes the same numbers;
//! `tests/vectors/consensus.json` is replayed by both.
//!
//! | step of an epoch | module |
//! | --- | --- |
//! | votes on role weights become next weights | [`review`], [`median`] |
//! | attested use shifts them between reviews | [`scarcity`] |
//! | what is minted, and its split over the roles | [`emission`], [`split`] |
//! | who checks whom | [`seed`], [`assignment`] |
//! | a validator's row, committed and revealed | [`commit`], [`merkle`] |
//! | units of a member, and what of them is paid | [`units`], [`median`] |
//! | what a validator earns | [`accuracy`] |
//! | how much a fault may cost, and when automatic slashing stops | [`slash`] |
//!
//! Fractions are `u32` parts per million ([`PPM`]) where weights and scores are meant, and `u16` basis points ([`BPS`])
//! where people set or vote on them.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]
// No panics: neither on purpose nor by an index, an overflow or a division.
#![deny(
	clippy::arithmetic_side_effects,
	clippy::expect_used,
	clippy::indexing_slicing,
	clippy::panic,
	clippy::unwrap_used
)]

extern crate alloc;

pub mod accuracy;
pub mod arith;
pub mod assignment;
pub mod commit;
pub mod emission;
pub mod hashing;
pub mod median;
pub mod merkle;
pub mod review;
pub mod scarcity;
pub mod seed;
pub mod slash;
pub mod split;
pub mod units;

/// One, in parts per million: role weights, multipliers and scores.
pub const PPM: u32 = 1_000_000;

/// One, in basis points: votes and parameters set by people.
pub const BPS: u16 = 10_000;

/// Id of a role. Ids are given once and never reused.
pub type RoleId = u8;

/// A 32-byte BLAKE2b hash.
pub type Hash = [u8; 32];
