use peerz_consensus::slash::{Breaker, SlashCaps, Slashed};
use proptest::{collection::vec, prelude::*};

use crate::amount;

const CAPS: SlashCaps = SlashCaps {
	incident_bps: 500,
	day_bps: 1_000,
	month_bps: 3_000,
};

#[test]
fn a_day_of_incidents_stops_at_the_days_limit() {
	let (mut bond, mut record, mut taken) = (10_000, Slashed::default(), Vec::new());
	for _ in 0..4 {
		let (amount, after) = record.take(&CAPS, 0, bond, 10_000);
		(bond, record) = (bond - amount, after);
		taken.push(amount);
	}
	// 5 % of 10,000; 5 % of 9,500; what is left of 10 % of 10,000.
	assert_eq!(taken, [500, 475, 25, 0]);
}

#[test]
fn the_month_limits_many_days() {
	let (mut bond, mut record) = (10_000, Slashed::default());
	for day in 0..30 {
		for _ in 0..5 {
			let (amount, after) = record.take(&CAPS, day, bond, 10_000);
			(bond, record) = (bond - amount, after);
		}
	}
	assert_eq!(bond, 7_000);
	assert_eq!(record.take(&CAPS, 30, bond, 10_000).0, 350, "another month");
}

#[test]
fn days_do_not_run_backwards() {
	let record = Slashed {
		day: 40,
		in_day: 5,
		in_month: 9,
	};
	assert_eq!(record.on(39), record);
	assert_eq!(
		record.on(41),
		Slashed {
			day: 41,
			in_day: 0,
			in_month: 9
		}
	);
	assert_eq!(
		record.on(60),
		Slashed {
			day: 60,
			in_day: 0,
			in_month: 0
		}
	);
}

#[test]
fn the_breaker_opens_at_three_times_the_usual_rate() {
	let mut breaker = Breaker { usual: 4_000, seen: 0 };
	for _ in 0..12 {
		assert!(!breaker.is_open(1));
		breaker = breaker.record();
	}
	assert!(breaker.is_open(1));
	assert!(!breaker.is_open(5), "a higher floor allows fifteen");
	assert_eq!(breaker.next_epoch(1), Breaker { usual: 4_250, seen: 0 });
	assert!(Breaker::default().is_open(0));
}

#[test]
fn a_flood_teaches_the_breaker_slowly() {
	let flooded = Breaker {
		usual: 1_000,
		seen: u32::MAX,
	}
	.next_epoch(1);
	// The sample counts as 3,000: a 32nd of the way.
	assert_eq!(flooded, Breaker { usual: 1_063, seen: 0 });
}

proptest! {
	#[test]
	fn no_sequence_passes_a_limit(
		bond in 0..u128::MAX >> 1,
		incidents in vec((0_u32..3, amount()), 0..60),
		(incident_bps, day_bps, month_bps) in (0..=10_000_u16, 0..=10_000_u16, 0..=10_000_u16),
	) {
		let caps = SlashCaps { incident_bps, day_bps, month_bps };
		let (mut left, mut record, mut day) = (bond, Slashed::default(), 0);
		let (mut per_day, mut per_month) = ([0_u128; 200], [0_u128; 8]);
		for (later, wanted) in incidents {
			day += later;
			let (amount, after) = record.take(&caps, day, left, wanted);
			prop_assert!(amount <= wanted && amount <= left);
			left -= amount;
			record = after;
			per_day[day as usize] += amount;
			per_month[day as usize / 30] += amount;
		}
		let share = |bps: u16| peerz_consensus::arith::of_bps(bond, bps);
		prop_assert!(per_day.iter().all(|sum| *sum <= share(day_bps)));
		prop_assert!(per_month.iter().all(|sum| *sum <= share(month_bps)));
	}

	#[test]
	fn the_usual_rate_grows_by_a_sixteenth_at_most(usual in any::<u64>(), seen in any::<u32>(), floor in any::<u16>()) {
		let floor = floor as u32;
		prop_assume!(usual >= floor as u64 * 1_000);
		let next = Breaker { usual, seen }.next_epoch(floor).usual;
		prop_assert!(next as u128 <= usual as u128 + (usual as u128).div_ceil(16));
	}
}
