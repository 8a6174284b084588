use peerz_consensus::{
	review::{ballot_counts, check_ballot, fit, review, Ballot, BallotError, ReviewError, ReviewParams, RoleState},
	PPM,
};
use proptest::{collection::vec, prelude::*};

use crate::{amount, shuffled};

fn role(id: u8, weight: u32) -> RoleState {
	RoleState {
		id,
		weight,
		floor: 10_000,
		ceiling: 700_000,
	}
}

/// The weights at genesis: compute 60 %, validator 20 %, model 10 %, developer 10 %, one role that waits.
fn genesis() -> Vec<RoleState> {
	let waiting = RoleState {
		id: 4,
		weight: 0,
		floor: 0,
		ceiling: 700_000,
	};
	vec![
		role(0, 600_000),
		role(1, 200_000),
		role(2, 100_000),
		role(3, 100_000),
		waiting,
	]
}

fn ballot(stake: u128, weights: &[(u8, u16)]) -> Ballot {
	Ballot {
		stake,
		weights: weights.to_vec(),
	}
}

#[test]
fn three_voters_move_the_weights_by_one_step() {
	let ballots = [
		ballot(40, &[(0, 5_000), (1, 3_000), (2, 1_000), (3, 1_000)]),
		ballot(35, &[(0, 4_000), (1, 3_000), (2, 1_000), (3, 1_000), (4, 1_000)]),
		ballot(25, &[(0, 7_000), (1, 3_000)]),
	];
	let outcome = review(&ReviewParams::default(), &genesis(), &ballots, 400).expect("sound roles");
	// Medians at half of 100: role 0 sorted 4000 (35), 5000 (75); role 4 sorted 0 (25 + 40).
	assert_eq!(outcome.medians, [5_000, 3_000, 1_000, 1_000, 0]);
	assert_eq!(outcome.target, [500_000, 300_000, 100_000, 100_000, 0]);
	// Five points each way at most.
	assert_eq!(outcome.next, [550_000, 250_000, 100_000, 100_000, 0]);
	assert!(outcome.quorum_met);
	assert_eq!((outcome.counted, outcome.eligible), (100, 400));
}

#[test]
fn without_a_quorum_nothing_changes() {
	let ballots = [ballot(79, &[(1, 10_000)])];
	let outcome = review(&ReviewParams::default(), &genesis(), &ballots, 400).expect("sound roles");
	assert!(!outcome.quorum_met);
	assert_eq!(outcome.next, [600_000, 200_000, 100_000, 100_000, 0]);
	assert_eq!(
		outcome.medians,
		[0, 10_000, 0, 0, 0],
		"the figures are shown all the same"
	);
}

#[test]
fn a_waiting_role_is_voted_in_and_a_retired_one_runs_out() {
	let mut roles = genesis();
	let ballots = [ballot(100, &[(0, 6_000), (1, 2_000), (4, 2_000)])];
	roles[3] = RoleState {
		floor: 0,
		ceiling: 0,
		..roles[3]
	};
	let mut weights = Vec::new();
	for _ in 0..4 {
		weights = review(&ReviewParams::default(), &roles, &ballots, 100)
			.expect("sound roles")
			.next;
		for (role, weight) in roles.iter_mut().zip(&weights) {
			role.weight = *weight;
		}
	}
	assert_eq!(weights[3], 0);
	assert_eq!(weights[2], 10_000, "the floor holds");
	assert!(weights[4] > 180_000);
	assert_eq!(weights.iter().sum::<u32>(), PPM);
}

#[test]
fn broken_state_is_an_error() {
	let params = ReviewParams::default();
	assert_eq!(
		review(&params, &[role(0, 600_000)], &[], 0),
		Err(ReviewError::WeightsNotNormalised)
	);
	assert_eq!(
		review(&params, &[role(1, 500_000), role(1, 500_000)], &[], 0),
		Err(ReviewError::RolesNotSorted)
	);
}

#[test]
fn ballots_are_checked() {
	let open = [0, 1, 2];
	assert_eq!(check_ballot(&[(0, 4_000), (2, 6_000)], &open), Ok(()));
	assert_eq!(
		check_ballot(&[(2, 4_000), (0, 6_000)], &open),
		Err(BallotError::NotSorted)
	);
	assert_eq!(
		check_ballot(&[(1, 4_000), (1, 6_000)], &open),
		Err(BallotError::NotSorted)
	);
	assert_eq!(
		check_ballot(&[(0, 4_000), (3, 6_000)], &open),
		Err(BallotError::UnknownRole)
	);
	assert_eq!(
		check_ballot(&[(0, 4_000), (2, 6_001)], &open),
		Err(BallotError::WrongSum)
	);
	assert_eq!(check_ballot(&[], &open), Err(BallotError::WrongSum));
}

#[test]
fn a_ballot_counts_in_two_reviews() {
	let counted: Vec<bool> = (4..9).map(|now| ballot_counts(5, now, 2)).collect();
	assert_eq!(counted, [false, true, true, false, false]);
}

#[test]
fn fit_has_no_answer_outside_its_bounds() {
	assert_eq!(fit(&[0, 0], &[0, 0], &[400_000, 400_000]), None);
	assert_eq!(fit(&[0, 0], &[600_000, 600_000], &[PPM, PPM]), None);
	assert_eq!(fit(&[0], &[0, 0], &[PPM, PPM]), None);
	assert_eq!(fit(&[0, 0], &[5, 0], &[4, PPM]), None);
	assert_eq!(fit(&[0, 0], &[0, 0], &[PPM, PPM]), Some(vec![500_000, 500_000]));
}

/// Roles whose weights add up to one and lie within their bounds.
fn sound_roles() -> impl Strategy<Value = Vec<RoleState>> {
	vec((0..1_000_u32, 0..=10_000_u32), 2..=16).prop_map(|drawn| {
		let count = drawn.len();
		let floors: Vec<u32> = drawn.iter().map(|(_, floor)| *floor).collect();
		let wish: Vec<u32> = drawn.iter().map(|(share, _)| share * 1_000).collect();
		let weights = fit(&wish, &floors, &vec![700_000; count]).expect("floors and ceilings leave room");
		let numbered = (0_u8..).zip(weights.into_iter().zip(floors));
		numbered
			.map(|(id, (weight, floor))| RoleState {
				id,
				weight,
				floor,
				ceiling: 700_000,
			})
			.collect()
	})
}

/// Ballots over `roles` roles.
fn ballots(roles: usize) -> impl Strategy<Value = Vec<Ballot>> {
	let one = (0..u128::MAX >> 8, vec(0..1_000_u128, roles)).prop_map(|(stake, wish)| {
		let parts = peerz_consensus::split::largest_remainder(10_000, &wish);
		let weights = (0_u8..)
			.zip(parts.into_iter().map(|part| part as u16))
			.filter(|(_, part)| *part > 0)
			.collect();
		Ballot { stake, weights }
	});
	vec(one, 0..20)
}

proptest! {
	#[test]
	fn weights_stay_inside_floors_ceilings_and_steps(
		(roles, ballots) in sound_roles().prop_flat_map(|roles| { let n = roles.len(); (Just(roles), ballots(n)) }),
		max_step in 0..=200_000_u32,
		eligible in amount(),
	) {
		let params = ReviewParams { max_step, ..Default::default() };
		let outcome = review(&params, &roles, &ballots, eligible).expect("sound roles");
		prop_assert_eq!(outcome.next.iter().sum::<u32>(), PPM);
		prop_assert_eq!(outcome.target.iter().sum::<u32>(), PPM);
		for (role, next) in roles.iter().zip(outcome.next) {
			prop_assert!(role.floor <= next && next <= role.ceiling);
			prop_assert!(role.weight.abs_diff(next) <= max_step);
		}
	}

	#[test]
	fn steps_hold_whatever_bounds_governance_sets(
		(roles, ballots) in sound_roles().prop_flat_map(|roles| { let n = roles.len(); (Just(roles), ballots(n)) }),
		bounds in vec((0..=PPM, 0..=PPM), 16),
		max_step in 0..=PPM,
	) {
		let roles: Vec<RoleState> =
			roles.into_iter().zip(bounds).map(|(role, (floor, ceiling))| RoleState { floor, ceiling, ..role }).collect();
		let params = ReviewParams { max_step, quorum_bps: 0, ..Default::default() };
		let outcome = review(&params, &roles, &ballots, 0).expect("sound roles");
		prop_assert_eq!(outcome.next.iter().sum::<u32>(), PPM);
		prop_assert!(roles.iter().zip(&outcome.next).all(|(role, next)| role.weight.abs_diff(*next) <= max_step));
	}

	#[test]
	fn the_order_of_ballots_does_not_matter(
		(ballots, other) in ballots(5).prop_flat_map(shuffled),
		eligible in amount(),
	) {
		let of = |ballots: &[Ballot]| review(&ReviewParams::default(), &genesis(), ballots, eligible).expect("sound roles");
		let (a, b) = (of(&ballots), of(&other));
		prop_assert_eq!((a.medians, a.target, a.next, a.counted), (b.medians, b.target, b.next, b.counted));
	}

	#[test]
	fn a_minority_cannot_raise_a_median_above_all_others(honest in ballots(5), liars in ballots(5)) {
		let all: Vec<Ballot> = honest.iter().chain(&liars).cloned().collect();
		let outcome = review(&ReviewParams::default(), &genesis(), &all, 0).expect("sound roles");
		let (good, bad) = outcome.capped.split_at(honest.len());
		prop_assume!(good.iter().sum::<u128>() > bad.iter().sum::<u128>());
		for (id, median) in (0_u8..).zip(outcome.medians) {
			let wishes = honest.iter().filter(|ballot| ballot.stake > 0).map(|ballot| {
				ballot.weights.iter().find(|(role, _)| *role == id).map_or(0, |(_, part)| *part)
			});
			prop_assert!(wishes.clone().min() <= Some(median) && Some(median) <= wishes.max());
		}
	}

	#[test]
	fn fit_is_exact_and_inside(drawn in vec((0..=PPM, 0..=PPM, 0..=PPM), 1..=16)) {
		let target: Vec<u32> = drawn.iter().map(|(wish, _, _)| *wish).collect();
		let lower: Vec<u32> = drawn.iter().map(|(_, a, b)| *a.min(b)).collect();
		let upper: Vec<u32> = drawn.iter().map(|(_, a, b)| *a.max(b)).collect();
		let possible = lower.iter().sum::<u32>() <= PPM && upper.iter().sum::<u32>() >= PPM;
		let Some(fitted) = fit(&target, &lower, &upper) else {
			prop_assert!(!possible);
			return Ok(());
		};
		prop_assert_eq!(fitted.iter().sum::<u32>(), PPM);
		prop_assert!(fitted.iter().zip(lower.iter().zip(&upper)).all(|(value, (low, high))| low <= value && value <= high));
	}
}
