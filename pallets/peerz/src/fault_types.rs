//! The nouns of faults, slashes and disputes. Exported by [`crate::types`], whose names they have in the metadata.

use crate::types::{
	Balance, EpochIndex, Generation, RoleId, SessionId, Signature, Slot, SubjectIndex, MAX_DEPTH, PANEL,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{pallet_prelude::ConstU32, BoundedVec};
use scale_info::TypeInfo;
use sp_core::H256;

/// A provider's signed word on one step, as it signs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
#[scale_info(replace_segment("fault_types", "types"))]
pub struct Receipt {
	/// Number of the step in its session.
	pub seq: u64,
	/// Position of the first new token.
	pub position: u32,
	/// New tokens.
	pub n_tokens: u32,
	/// Kind of the step.
	pub kind: u8,
	/// Hash of the bytes that came in.
	pub in_hash: [u8; 32],
	/// Hash of the bytes that went out.
	pub out_hash: [u8; 32],
	/// Chain over all inputs of the session.
	pub in_chain: [u8; 32],
}

/// A receipt with its signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
#[scale_info(replace_segment("fault_types", "types"))]
pub struct SignedReceipt {
	/// What is signed.
	pub receipt: Receipt,
	/// By the node key.
	pub signature: Signature,
}

/// Why somebody is slashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
#[scale_info(replace_segment("fault_types", "types"))]
pub enum Fault {
	/// Two different signed receipts for one step.
	Equivocation,
	/// A commitment that was never revealed.
	HiddenRow,
	/// A failure that a panel reproduced.
	Reproduced,
	/// A work root that counts a session twice.
	InvalidRoot,
}

/// A slash that waits, so that it can be cancelled.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
#[scale_info(replace_segment("fault_types", "types"))]
pub struct PendingSlash<AccountId> {
	/// Who is to be slashed.
	pub account: AccountId,
	/// In which role's bond.
	pub role: RoleId,
	/// Why.
	pub fault: Fault,
	/// How much.
	pub amount: Balance,
	/// Who brought the proof, if somebody had to.
	pub reporter: Option<AccountId>,
	/// The epoch from which it can be applied.
	pub due: EpochIndex,
}

/// How a dispute stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
#[scale_info(replace_segment("fault_types", "types"))]
pub enum DisputeStatus {
	/// The panel is judging.
	Open,
	/// Reproduced, but so many of its kernel class failed at once that governance must decide.
	Held,
}

/// A failure that one validator saw and that others are to reproduce.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
#[scale_info(replace_segment("fault_types", "types"))]
pub struct Dispute<AccountId> {
	/// Who opened it.
	pub opener: AccountId,
	/// What is held from the opener.
	pub deposit: Balance,
	/// The accused subject.
	pub index: SubjectIndex,
	/// Its generation.
	pub generation: Generation,
	/// Its account.
	pub accused: AccountId,
	/// Hash of the committed bytes that show the failure.
	pub evidence: H256,
	/// The accused's kernel class, as it signed it.
	pub kernel_class: H256,
	/// When it was opened. The panel is drawn from the seed of the next epoch.
	pub opened: EpochIndex,
	/// Slots of the panel's members that reproduced the failure.
	pub reproduced: BoundedVec<Slot, ConstU32<PANEL>>,
	/// Slots of those that did not.
	pub refuted: BoundedVec<Slot, ConstU32<PANEL>>,
	/// How it stands.
	pub status: DisputeStatus,
}

/// A leaf under a work root: one co-signed session. Its bytes are those of its SCALE encoding, 56 of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
#[scale_info(replace_segment("fault_types", "types"))]
pub struct SessionLeaf {
	/// The session.
	pub session: SessionId,
	/// Co-signed units.
	pub units: u64,
	/// Root over its receipts.
	pub receipts: H256,
}

/// Where a leaf is under a work root.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
#[scale_info(replace_segment("fault_types", "types"))]
pub struct LeafProof {
	/// The leaf.
	pub leaf: SessionLeaf,
	/// Its position among all leaves.
	pub position: u32,
	/// The siblings on the way to the root, lowest first.
	pub siblings: BoundedVec<H256, ConstU32<MAX_DEPTH>>,
}
