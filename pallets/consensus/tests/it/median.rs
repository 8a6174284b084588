use peerz_consensus::median::{cap_weights, capped_median, quorum_met, weighted_median};
use proptest::{collection::vec, prelude::*};

use crate::{amount, shuffled};

#[test]
fn the_lower_median_by_stake() {
	// Stakes 10, 20, 70: the last alone is over half.
	assert_eq!(weighted_median(&[(1, 10), (2, 20), (3, 70)]), Some(3));
	// 50 of 100 is reached at the second.
	assert_eq!(weighted_median(&[(9, 50), (1, 20), (4, 30)]), Some(4));
	assert_eq!(weighted_median(&[(9, 51), (1, 20), (4, 29)]), Some(9));
	assert_eq!(weighted_median(&[(5, 0)]), None);
	assert_eq!(weighted_median(&[]), None);
}

#[test]
fn a_voter_counts_with_a_tenth_at_most() {
	// Eleven voters, 1,000 in all: the large one counts with 100.
	let mut weights = [60; 11];
	weights[0] = 400;
	assert_eq!(cap_weights(&weights, 1_000)[0], 100);
	assert_eq!(cap_weights(&weights, 1_000)[1..], weights[1..]);
}

#[test]
fn few_voters_are_not_capped() {
	assert_eq!(cap_weights(&[900, 50, 50], 1_000), [900, 50, 50]);
	assert_eq!(cap_weights(&[900, 50, 50], 0), [900, 50, 50]);
}

#[test]
fn dust_cannot_outvote_a_few_large_voters() {
	// Five honest voters with a million each against a thousand accounts of dust.
	let mut votes = vec![(100, 1_000_000); 5];
	votes.extend([(0, 1); 1_000]);
	assert_eq!(capped_median(&votes, 1_000), Some(100));
}

#[test]
fn quorum_is_reached_exactly() {
	assert!(quorum_met(20, 100, 2_000));
	assert!(!quorum_met(19, 100, 2_000));
	assert!(!quorum_met(0, 0, 2_000));
	assert!(quorum_met(u128::MAX, u128::MAX, 10_000));
}

fn votes(count: usize) -> impl Strategy<Value = Vec<(u128, u128)>> {
	vec((amount(), amount()), 1..count)
}

proptest! {
	#[test]
	fn it_is_one_of_the_values_with_half_on_either_side(votes in vec((0_u128..50, 0_u128..1_000), 1..30)) {
		let all: u128 = votes.iter().map(|(_, weight)| weight).sum();
		let Some(median) = weighted_median(&votes) else {
			prop_assert_eq!(all, 0);
			return Ok(());
		};
		let weight = |keep: &dyn Fn(u128) -> bool| -> u128 {
			votes.iter().filter(|(value, _)| keep(*value)).map(|(_, weight)| weight).sum()
		};
		prop_assert!(votes.contains(&(median, weight(&|value| value == median))) || weight(&|value| value == median) > 0);
		prop_assert!(2 * weight(&|value| value <= median) >= all);
		prop_assert!(2 * weight(&|value| value < median) < all);
	}

	#[test]
	fn order_does_not_matter((votes, other) in votes(30).prop_flat_map(shuffled), cap in 0_u16..=10_000) {
		prop_assert_eq!(capped_median(&votes, cap), capped_median(&other, cap));
	}

	#[test]
	fn raising_a_value_never_lowers_it(mut votes in votes(20), by in amount(), at in any::<prop::sample::Index>(), cap in 0_u16..=10_000) {
		let before = capped_median(&votes, cap);
		let at = at.index(votes.len());
		votes[at].0 = votes[at].0.saturating_add(by);
		prop_assert!(capped_median(&votes, cap) >= before);
	}

	#[test]
	fn a_minority_cannot_leave_the_honest_range(
		honest in vec((amount(), 0..u128::MAX >> 8), 1..15),
		liars in vec((amount(), 0..u128::MAX >> 8), 0..15),
		cap in 0_u16..=10_000,
	) {
		let all: Vec<(u128, u128)> = honest.iter().chain(&liars).copied().collect();
		let weights: Vec<u128> = all.iter().map(|(_, weight)| *weight).collect();
		let capped = cap_weights(&weights, cap);
		let (good, bad) = capped.split_at(honest.len());
		prop_assume!(good.iter().sum::<u128>() > bad.iter().sum::<u128>());
		let counted = || honest.iter().zip(good).filter(|(_, weight)| **weight > 0).map(|((value, _), _)| *value);
		let median = capped_median(&all, cap).expect("there is weight");
		prop_assert!(counted().min().expect("some") <= median && median <= counted().max().expect("some"));
	}

	#[test]
	fn capped_weights_keep_their_order_and_never_grow(weights in vec(amount(), 0..30), cap in 0_u16..=10_000) {
		let capped = cap_weights(&weights, cap);
		prop_assert_eq!(capped.len(), weights.len());
		for (after, before) in capped.iter().zip(&weights) {
			prop_assert!(after <= before && (*before == 0 || *after > 0));
			for (other_after, other_before) in capped.iter().zip(&weights) {
				prop_assert!(before > other_before || after <= other_after);
			}
		}
	}

	#[test]
	fn splitting_a_stake_below_the_cap_changes_nothing(
		votes in vec((amount(), 1..u128::MAX >> 16), 12..20),
		value in amount(),
		part in 1_u128..1_000,
		rest in 1_u128..1_000,
	) {
		let with = |extra: &[(u128, u128)]| [&votes[..], extra].concat();
		let whole = with(&[(value, part + rest)]);
		prop_assume!(cap_weights(&whole.iter().map(|(_, w)| *w).collect::<Vec<_>>(), 1_000).last() == Some(&(part + rest)));
		prop_assert_eq!(capped_median(&whole, 1_000), capped_median(&with(&[(value, part), (value, rest)]), 1_000));
	}
}
