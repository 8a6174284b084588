//! What clients and nodes ask a chain of Peerz beside its storage: answers that need the pallet's arithmetic.
//! The functions are reached by `state_call` as `PeerzApi_<name>`, with SCALE-encoded arguments and answers.
#![cfg_attr(not(feature = "std"), no_std)]
// `decl_runtime_apis` writes functions for the client side that take the block beside the arguments.
#![allow(clippy::too_many_arguments)]

extern crate alloc;

use alloc::vec::Vec;
use codec::Codec;
use pallet_peerz::types::{Balance, Epoch, EpochIndex, PendingReward, RoleId, RoleView, SubjectIndex};
use sp_runtime::traits::NumberFor;

sp_api::decl_runtime_apis! {
	/// Queries of the Peerz pallet.
	pub trait PeerzApi<AccountId> where AccountId: Codec {
		/// The clock of the pallet, and the epoch in which the next review of the role weights is due.
		fn epoch() -> (Epoch<NumberFor<Block>>, EpochIndex);

		/// All roles with their weights and scarcity, in parts per million.
		fn role_weights() -> Vec<RoleView>;

		/// The slots of an account's subjects: its provider, validator, models and memberships.
		fn subjects_of(account: AccountId) -> Vec<SubjectIndex>;

		/// What an account's subjects earned in final epochs and has not claimed yet.
		fn pending_rewards(account: AccountId) -> Vec<PendingReward>;

		/// The validators that attest a subject's work of an epoch. Empty before that epoch's seed is fixed.
		fn assignment(epoch: EpochIndex, subject: SubjectIndex) -> Vec<AccountId>;

		/// The subjects that a validator attests in an epoch, in ascending order.
		fn attested_by(epoch: EpochIndex, validator: AccountId) -> Vec<SubjectIndex>;

		/// An account's bond in a role: what counts, and what is on its way out.
		fn bond(account: AccountId, role: RoleId) -> (Balance, Balance);
	}
}
