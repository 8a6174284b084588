use codec::{Decode, Encode};
use pallet_peerz::types::{Epoch, EpochIndex, PendingReward, Phase, RoleView, SubjectIndex, COMPUTE, PPM};
use sp_keyring::Sr25519Keyring::{Alice, Bob};

use super::{account, apply, open_block, with_preset};
use crate::{AccountId, Balance, Executive, Runtime, RuntimeCall, PRZ};

/// Calls a runtime API as a host does: by name, with encoded arguments.
fn query<Answer: Decode>(method: &str, arguments: impl Encode) -> Answer {
	let answer = crate::apis::api::dispatch(method, &arguments.encode()).expect("a method of the runtime");
	Answer::decode(&mut answer.as_slice()).expect("an answer of that type")
}

fn bond(amount: Balance) -> RuntimeCall {
	pallet_peerz::Call::<Runtime>::bond { role: COMPUTE, amount }.into()
}

#[test]
fn a_new_chain_is_in_the_commit_phase_of_its_first_epoch() {
	with_preset("development", || {
		let (epoch, review): (Epoch<u32>, EpochIndex) = query("PeerzApi_epoch", ());
		assert_eq!((epoch.index, epoch.phase), (1, Phase::Commit));
		assert!(review > epoch.index);
	});
}

#[test]
fn role_weights_sum_to_one_whole() {
	with_preset("development", || {
		let roles: Vec<RoleView> = query("PeerzApi_role_weights", ());
		assert_eq!(roles.len(), 6);
		assert_eq!(roles.iter().map(|role| role.weight).sum::<u32>(), PPM);
		assert_eq!(roles.iter().map(|role| role.effective).sum::<u32>(), PPM);
	});
}

#[test]
fn a_bond_shows_what_counts_and_what_leaves() {
	with_preset("development", || {
		open_block(1, 1);
		apply(Alice, 0, bond(5 * PRZ)).expect("valid").expect("dispatched");
		let unbond = pallet_peerz::Call::<Runtime>::unbond {
			role: COMPUTE,
			amount: 2 * PRZ,
		};
		apply(Alice, 1, unbond.into()).expect("valid").expect("dispatched");
		Executive::finalize_block();
		let bond: (Balance, Balance) = query("PeerzApi_bond", (account(Alice), COMPUTE));
		assert_eq!(bond, (3 * PRZ, 2 * PRZ));
		let of_another: (Balance, Balance) = query("PeerzApi_bond", (account(Bob), COMPUTE));
		assert_eq!(of_another, (0, 0));
	});
}

#[test]
fn who_has_done_nothing_has_nothing() {
	with_preset("development", || {
		assert!(query::<Vec<SubjectIndex>>("PeerzApi_subjects_of", account(Bob)).is_empty());
		assert!(query::<Vec<PendingReward>>("PeerzApi_pending_rewards", account(Bob)).is_empty());
		assert!(query::<Vec<AccountId>>("PeerzApi_assignment", (1u32, 0u32)).is_empty());
		assert!(query::<Vec<SubjectIndex>>("PeerzApi_attested_by", (1u32, account(Bob))).is_empty());
	});
}
