//! The nouns of the pallet: everything that is stored, passed to a call or shown in an event.

pub use crate::fault_types::*;
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{pallet_prelude::ConstU32, BoundedVec};
pub use peerz_consensus::{
	commit::Entry,
	slash::{Breaker, Slashed},
	BPS, PPM,
};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};
use sp_core::H256;

/// Amounts of PRZ, in its smallest unit. The pallet's currency must use it.
pub type Balance = u128;
/// Index of a role. Never given twice.
pub type RoleId = u8;
/// Index of an epoch. The first one is 1; work of epoch `e` is attested in `e + 1`.
pub type EpochIndex = u32;
/// Slot of a subject. Slots are used again, so it means little without a generation.
pub type SubjectIndex = u32;
/// How many subjects held a slot before.
pub type Generation = u32;
/// Position of a validator in the frozen set of one epoch.
pub type Slot = u16;
/// The 16 random bytes that name a session.
pub type SessionId = [u8; 16];
/// Root of a model's manifest, which is its name.
pub type ModelRoot = H256;
/// An ed25519 public key, which is also a libp2p identity.
pub type NodeKey = [u8; 32];
/// A 64-byte signature (ed25519 or sr25519, by context).
pub type Signature = [u8; 64];

/// Most roles that can ever exist.
pub const MAX_ROLES: u32 = 16;
/// Most bytes in a role's name.
pub const MAX_ROLE_NAME: u32 = 32;
/// Most validators in one epoch.
pub const MAX_VALIDATORS: u32 = 128;
/// Most entries in one row: all subjects that there can be, since few validators are assigned to all of them.
pub const MAX_ROW: u32 = 4_096;
/// Subjects that one step of finalising aggregates.
pub const PAGE: u32 = 64;
/// Validators that one step of finalising pays.
pub const VALIDATOR_PAGE: u32 = 16;
/// Most amounts that unbond at once per account and role.
pub const MAX_UNBONDING: u32 = 8;
/// Most models per owner.
pub const MAX_MODELS_PER_OWNER: u32 = 16;
/// Levels of a Merkle tree with as many leaves as 32 bits count.
pub const MAX_DEPTH: u32 = 32;
/// Validators that judge a dispute.
pub const PANEL: u32 = 3;
/// Planted faults per epoch.
pub const MAX_PLANTS: u32 = 16;
/// Reviews that are remembered.
pub const REVIEWS_KEPT: u32 = 64;

/// The compute providers' role at genesis.
pub const COMPUTE: RoleId = 0;
/// The validators' role at genesis.
pub const VALIDATOR: RoleId = 1;
/// The model providers' role at genesis.
pub const MODEL: RoleId = 2;
/// The developers' role at genesis.
pub const DEVELOPER: RoleId = 3;
/// The liquidity providers' role at genesis.
pub const LIQUIDITY: RoleId = 4;
/// The social providers' role at genesis.
pub const SOCIAL: RoleId = 5;

/// A vote: a share per role in basis points, sorted by role.
pub type RoleShares = BoundedVec<(RoleId, u16), ConstU32<MAX_ROLES>>;
/// Weights of all roles in parts per million. The position is the role's id.
pub type Weights = BoundedVec<u32, ConstU32<MAX_ROLES>>;
/// A validator's attestation of one epoch, sorted by subject.
pub type Row = BoundedVec<Entry, ConstU32<MAX_ROW>>;
/// The part of a row that falls into one page of subjects.
pub type RowPage = BoundedVec<Entry, ConstU32<PAGE>>;

/// How the subjects of a role earn.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Serialize,
	Deserialize,
)]
pub enum RoleKind {
	/// By units of computing that validators attest, capped by bond and measured capacity.
	Compute,
	/// By bond and accuracy. There is one such role.
	Validator,
	/// By units served on a registered model.
	Model,
	/// By units that validators attest for a registered member.
	Member,
}

/// A role that shares in the rewards.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Role {
	/// Its name, for people.
	pub name: BoundedVec<u8, ConstU32<MAX_ROLE_NAME>>,
	/// How its subjects earn.
	pub kind: RoleKind,
	/// What governance may change.
	pub terms: RoleTerms,
}

/// What governance may change about a role.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct RoleTerms {
	/// Whether votes for it count. A role that is off moves towards a weight of zero.
	pub enabled: bool,
	/// Least weight after a review, in parts per million.
	pub floor: u32,
	/// Greatest weight after a review, in parts per million.
	pub ceiling: u32,
	/// Bond below which a subject is bondless (compute), or may not take part (all others).
	pub min_bond: Balance,
	/// Use at which the role is neither scarce nor plenty, in parts per million; zero turns scarcity off.
	pub target_use: u32,
}

/// Who can be paid: a provider, a validator, a model or a member of another role.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Subject<AccountId> {
	/// Who is paid.
	pub account: AccountId,
	/// In which role.
	pub role: RoleId,
	/// How many held the slot before.
	pub generation: Generation,
	/// The epoch of registration: work counts from the next one.
	pub registered: EpochIndex,
	/// What is held for the registration.
	pub deposit: Balance,
	/// The epoch in which it left: its work counts up to there.
	pub left: Option<EpochIndex>,
	/// It is out of the validators' set, and its work counts for nothing, before this epoch.
	pub jailed_until: EpochIndex,
	/// Paid epochs since the last fault.
	pub clean_epochs: u32,
	/// The epoch in which a fault was decided last: what was withheld then is forfeited.
	pub last_fault: Option<EpochIndex>,
}

/// A model that can be served.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Model<AccountId> {
	/// Who earns by its use.
	pub owner: AccountId,
	/// Its subject.
	pub index: SubjectIndex,
	/// Its shape.
	pub shape: ModelShape,
}

/// The numbers of a model that units are counted with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct ModelShape {
	/// Transformer blocks.
	pub blocks: u32,
	/// Parameters in one block.
	pub params_per_block: u64,
	/// Width of the hidden state.
	pub d_model: u32,
}

/// What an account has bonded in one role.
#[derive(Clone, PartialEq, Eq, Debug, Default, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Bond {
	/// What counts for caps and stakes.
	pub active: Balance,
	/// What is on its way out and can still be slashed.
	pub unbonding: BoundedVec<Unbonding, ConstU32<MAX_UNBONDING>>,
}

/// An amount on its way out of a bond.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Unbonding {
	/// How much.
	pub amount: Balance,
	/// The epoch from which it can be withdrawn.
	pub unlock: EpochIndex,
}

/// Whose node key it is.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct KeyRecord<AccountId> {
	/// The account that bound it.
	pub account: AccountId,
	/// Until when the binding holds, in seconds since 1970.
	pub expiry: u64,
	/// What is held for the record.
	pub deposit: Balance,
	/// The epoch in which the account gave it up or replaced it: reports are taken until it is released.
	pub retired: Option<EpochIndex>,
	/// Whether it has signed two receipts for one step. Such a key is never bound again.
	pub burnt: bool,
}

/// A vote on the weights of the roles.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Vote {
	/// Shares in basis points that sum to one whole.
	pub shares: RoleShares,
	/// What is locked for it.
	pub amount: Balance,
	/// The number of the review before which it was cast or confirmed last.
	pub review: u32,
	/// Set when the vote was taken back: the epoch from which the lock can be released.
	pub unlock: Option<EpochIndex>,
}

/// Where an epoch stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Phase {
	/// Validators commit to their rows about the epoch before. Providers post the roots of their work.
	Commit,
	/// Validators show their rows, and the next link of their seed chains.
	Reveal,
	/// Anybody drives the steps of finalising.
	Finalise,
	/// All is finalised; nothing is to be done until the epoch ends.
	Open,
}

/// The clock of the pallet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Epoch<BlockNumber> {
	/// Which epoch it is.
	pub index: EpochIndex,
	/// In which phase.
	pub phase: Phase,
	/// The block in which the epoch began.
	pub started: BlockNumber,
	/// The block in which the phase ends. In `Finalise` it says nothing: that phase ends with its last step.
	pub phase_end: BlockNumber,
}

/// The next step of finalising.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Step {
	/// Fix the seed from the revealed links.
	Seal,
	/// Aggregate the rows about a page of subjects.
	Subjects(u32),
	/// Pay a page of validators, and slash those that hid their rows.
	Validators(u32),
	/// Emit, split and open the pools; return those that are too old to the treasury.
	Close,
	/// Review the weights of the roles, when one is due.
	Review,
	/// Forget the details of the epoch that has left the history.
	Purge,
	/// Freeze the validators of the next epoch.
	Freeze,
}

/// A validator as one epoch sees it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct FrozenValidator<AccountId> {
	/// Its account.
	pub account: AccountId,
	/// Its subject.
	pub index: SubjectIndex,
	/// The generation of that subject.
	pub generation: Generation,
	/// Its active bond when the set was frozen.
	pub stake: Balance,
}

/// The end of a validator's hash chain as the network knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct SeedChain {
	/// The link whose pre-image comes next.
	pub tip: H256,
	/// The start of another chain, and the epoch from which it replaces this one.
	pub next: Option<(H256, EpochIndex)>,
}

/// What a validator did about one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Attestation {
	/// The hash that it committed to.
	pub commitment: H256,
	/// What it revealed, if it did.
	pub revealed: Option<Revealed>,
}

/// A fault that governance planted to see who looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Plant {
	/// Hash over the epoch, the subject and a salt.
	pub commitment: H256,
	/// The subject, once it has been shown.
	pub index: Option<SubjectIndex>,
}

/// The part of a reveal that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Revealed {
	/// Merkle root over the evidence behind the row.
	pub evidence_root: H256,
	/// The link of the seed chain.
	pub link: H256,
}

/// How well a validator measured in the epoch that is being finalised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Measurement {
	/// Whether it revealed its row.
	pub revealed: bool,
	/// Planted faults among its subjects.
	pub planted: u32,
	/// Those of them that it did not report.
	pub missed: u32,
	/// Sum of its distances from the medians, in units.
	pub distance: u128,
	/// Sum of the medians.
	pub medians: u128,
}

/// The books of the epoch that is being finalised.
#[derive(Clone, PartialEq, Eq, Debug, Default, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Books {
	/// By slot of the validator.
	pub measurements: BoundedVec<Measurement, ConstU32<MAX_VALIDATORS>>,
	/// By id of the role.
	pub tallies: BoundedVec<Tally, ConstU32<MAX_ROLES>>,
}

/// A review that was held.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct ReviewRecord {
	/// In which epoch.
	pub epoch: EpochIndex,
	/// Stake whose votes counted, before the cap.
	pub counted: Balance,
	/// Stake that was locked.
	pub eligible: Balance,
	/// Whether enough was counted to change anything.
	pub quorum_met: bool,
	/// The weights from then on.
	pub weights: Weights,
}

/// What the subjects of a role did in the epoch that is being finalised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Tally {
	/// Units that are paid.
	pub points: u128,
	/// Units that were served.
	pub served: u128,
	/// Units that could have been served.
	pub capacity: u128,
}

/// What a subject earned in an epoch.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Earning<AccountId> {
	/// Who may claim.
	pub account: AccountId,
	/// From which pool.
	pub role: RoleId,
	/// The generation of the subject.
	pub generation: Generation,
	/// Its part of the pool's points.
	pub points: u128,
	/// The epoch from which it can be claimed.
	pub payable: EpochIndex,
	/// Whether it is withheld, and so can be forfeited.
	pub withheld: bool,
	/// Whether it has been claimed.
	pub claimed: bool,
}

/// The rewards of one role for one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Pool {
	/// What there is to claim.
	pub total: Balance,
	/// What has been claimed.
	pub claimed: Balance,
	/// What the total is divided by.
	pub points: u128,
}

/// The root that a provider posts of its co-signed sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct WorkRoot {
	/// The generation of the subject that posted it.
	pub generation: Generation,
	/// Merkle root over the session roots.
	pub root: H256,
	/// Leaves under it.
	pub sessions: u32,
}

/// A role as clients see it. Weights are in parts per million.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, TypeInfo)]
pub struct RoleView {
	/// Its id.
	pub role: RoleId,
	/// Its name.
	pub name: Vec<u8>,
	/// How its subjects earn.
	pub kind: RoleKind,
	/// What governance may change.
	pub terms: RoleTerms,
	/// The weight that the last review gave.
	pub weight: u32,
	/// What scarcity multiplies it by.
	pub multiplier: u32,
	/// Its share of what is emitted now.
	pub effective: u32,
}

/// A reward that has not been claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, TypeInfo)]
pub struct PendingReward {
	/// The epoch of the work.
	pub epoch: EpochIndex,
	/// The subject that earned it.
	pub index: SubjectIndex,
	/// From the pool of which role.
	pub role: RoleId,
	/// How much.
	pub amount: Balance,
	/// The epoch from which it can be claimed.
	pub payable: EpochIndex,
}
