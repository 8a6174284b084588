use crate::{mock::*, types::*, Error, Event, ReviewNumber, Reviews, RoleWeights, VoteLocked, Votes, PRZ};
use frame_support::{assert_noop, assert_ok, traits::fungible::InspectHold};

type Parts = &'static [(RoleId, u16)];

fn shares(parts: &[(RoleId, u16)]) -> RoleShares {
	parts.to_vec().try_into().unwrap()
}

fn vote(n: u8, parts: &[(RoleId, u16)], amount: u128) -> frame_support::dispatch::DispatchResult {
	Peerz::vote(signed(n), shares(parts), amount, None)
}

const ALL_COMPUTE: Parts = &[(COMPUTE, 10_000)];
const SOCIAL_TOO: Parts = &[
	(COMPUTE, 5_000),
	(VALIDATOR, 2_000),
	(MODEL, 1_000),
	(DEVELOPER, 1_000),
	(SOCIAL, 1_000),
];

fn weights() -> Vec<u32> {
	RoleWeights::<Test>::get().into_inner()
}

/// Reviews are held in epochs 3, 6, 9 ...
fn to_review(epoch: EpochIndex) {
	to_epoch(epoch);
	to_phase(Phase::Open);
}

#[test]
fn a_vote_locks_its_stake() {
	run(|| {
		assert_ok!(vote(1, SOCIAL_TOO, 20 * PRZ));
		let held = Balances::balance_on_hold(&crate::HoldReason::Vote.into(), &account(1));
		assert_eq!(held, 20 * PRZ);
		let shares = shares(SOCIAL_TOO);
		System::assert_last_event(
			Event::Voted {
				account: account(1),
				shares,
				amount: 20 * PRZ,
				review: 0,
			}
			.into(),
		);
	});
}

#[test]
fn a_vote_must_be_well_formed() {
	run(|| {
		let bad: [(Parts, Error<Test>); 5] = [
			(&[(COMPUTE, 9_999)], Error::VoteDoesNotSum),
			(&[], Error::VoteDoesNotSum),
			(&[(VALIDATOR, 5_000), (COMPUTE, 5_000)], Error::VoteNotSorted),
			(&[(COMPUTE, 5_000), (COMPUTE, 5_000)], Error::VoteNotSorted),
			(&[(77, 10_000)], Error::VoteForClosedRole),
		];
		for (parts, error) in bad {
			assert_noop!(vote(1, parts, 20 * PRZ), error);
		}
		assert_noop!(vote(1, ALL_COMPUTE, 10 * PRZ - 1), Error::<Test>::VoteTooSmall);
	});
}

#[test]
fn a_lock_grows_but_never_shrinks() {
	run(|| {
		assert_ok!(vote(1, ALL_COMPUTE, 20 * PRZ));
		assert_noop!(vote(1, ALL_COMPUTE, 19 * PRZ), Error::<Test>::VoteShrinks);
		assert_ok!(vote(1, SOCIAL_TOO, 30 * PRZ));
		assert_eq!(VoteLocked::<Test>::get(), 30 * PRZ);
	});
}

#[test]
fn a_review_moves_the_weights_a_step_towards_the_votes() {
	run(|| {
		assert_ok!(vote(1, SOCIAL_TOO, 20 * PRZ));
		to_review(2);
		assert_eq!(weights(), [600_000, 200_000, 100_000, 100_000, 0, 0]);
		to_review(3);
		assert_eq!(weights(), [550_000, 200_000, 100_000, 100_000, 0, 50_000]);
		let record = Reviews::<Test>::get(0).unwrap();
		assert_eq!((record.epoch, record.quorum_met), (3, true));
		to_review(6);
		assert_eq!(weights(), [500_000, 200_000, 100_000, 100_000, 0, 100_000]);
	});
}

#[test]
fn a_vote_counts_in_two_reviews_unless_it_is_confirmed() {
	run(|| {
		assert_ok!(vote(1, SOCIAL_TOO, 20 * PRZ));
		to_review(6);
		let before = weights();
		assert_ok!(vote(2, ALL_COMPUTE, 20 * PRZ));
		to_review(9);
		// The first vote is stale: the second one alone is counted.
		assert_eq!(Reviews::<Test>::get(2).unwrap().counted, 20 * PRZ);
		assert!(weights()[0] > before[0]);
		assert_ok!(vote(1, SOCIAL_TOO, 20 * PRZ));
		to_review(12);
		assert_eq!(Reviews::<Test>::get(3).unwrap().counted, 40 * PRZ);
	});
}

#[test]
fn without_a_quorum_nothing_changes() {
	run(|| {
		assert_ok!(vote(1, ALL_COMPUTE, 20 * PRZ));
		assert_ok!(vote(2, ALL_COMPUTE, 90 * PRZ));
		assert_ok!(Peerz::remove_vote(signed(2)));
		let before = weights();
		to_review(3);
		assert!(!Reviews::<Test>::get(0).unwrap().quorum_met);
		assert_eq!(weights(), before);
	});
}

#[test]
fn one_voter_has_a_tenth_of_the_counted_stake_at_most() {
	run(|| {
		MaxVoters::set(20);
		assert_ok!(vote(1, ALL_COMPUTE, 100_000 * PRZ));
		for n in 2..=11 {
			assert_ok!(vote(n, SOCIAL_TOO, 9_000 * PRZ));
		}
		to_review(3);
		assert_eq!(weights()[usize::from(SOCIAL)], 50_000);
	});
}

#[test]
fn a_role_that_is_off_fades() {
	run(|| {
		let terms = RoleTerms {
			enabled: false,
			..crate::Roles::<Test>::get(MODEL).unwrap().terms
		};
		assert_ok!(Peerz::change_role(RuntimeOrigin::root(), MODEL, terms));
		assert_noop!(vote(1, SOCIAL_TOO, 20 * PRZ), Error::<Test>::VoteForClosedRole);
		assert_ok!(vote(1, ALL_COMPUTE, 20 * PRZ));
		to_review(3);
		assert_eq!(weights()[usize::from(MODEL)], 50_000);
		to_review(6);
		assert_eq!(weights()[usize::from(MODEL)], 0);
	});
}

#[test]
fn a_vote_that_was_taken_back_stays_locked_for_a_while() {
	run(|| {
		assert_noop!(Peerz::remove_vote(signed(1)), Error::<Test>::NoVote);
		assert_noop!(Peerz::unlock_vote(signed(1)), Error::<Test>::NoVote);
		assert_ok!(vote(1, ALL_COMPUTE, 20 * PRZ));
		assert_noop!(Peerz::unlock_vote(signed(1)), Error::<Test>::VoteStillCounts);
		assert_ok!(Peerz::remove_vote(signed(1)));
		System::assert_last_event(
			Event::VoteRemoved {
				account: account(1),
				unlock: 3,
			}
			.into(),
		);
		assert_noop!(Peerz::remove_vote(signed(1)), Error::<Test>::VoteRemoved);
		assert_noop!(Peerz::unlock_vote(signed(1)), Error::<Test>::TooEarly);
		to_epoch(3);
		assert_ok!(Peerz::unlock_vote(signed(1)));
		assert_eq!((free(1), Votes::<Test>::count()), (WEALTH, 0));
	});
}

#[test]
fn a_full_house_is_joined_with_a_greater_vote_only() {
	run(|| {
		for n in 1..=8 {
			assert_ok!(vote(n, ALL_COMPUTE, (20 + u128::from(n)) * PRZ));
		}
		let join =
			|amount, victim: Option<u8>| Peerz::vote(signed(9), shares(ALL_COMPUTE), amount, victim.map(account));
		assert_noop!(join(30 * PRZ, None), Error::<Test>::TooManyVoters);
		assert_noop!(join(30 * PRZ, Some(50)), Error::<Test>::NoVote);
		assert_noop!(join(21 * PRZ, Some(1)), Error::<Test>::CannotEvict);
		assert_ok!(join(22 * PRZ, Some(1)));
		assert_eq!(free(1), WEALTH);
		assert!(!Votes::<Test>::contains_key(account(1)));
	});
}

#[test]
fn a_stale_vote_can_be_evicted_by_any() {
	run(|| {
		for n in 1..=8 {
			assert_ok!(vote(n, ALL_COMPUTE, 100 * PRZ));
		}
		to_review(6);
		assert_eq!(ReviewNumber::<Test>::get(), 2);
		assert_ok!(Peerz::vote(signed(9), shares(ALL_COMPUTE), 10 * PRZ, Some(account(3))));
	});
}

#[test]
fn dust_frees_no_lock_of_a_vote_that_was_taken_back() {
	run(|| {
		for n in 1..=8 {
			assert_ok!(vote(n, ALL_COMPUTE, 100 * PRZ));
		}
		assert_ok!(Peerz::remove_vote(signed(3)));
		let join = |amount| Peerz::vote(signed(9), shares(ALL_COMPUTE), amount, Some(account(3)));
		assert_noop!(join(10 * PRZ), Error::<Test>::CannotEvict);
		to_epoch(3);
		assert_ok!(join(10 * PRZ));
	});
}
