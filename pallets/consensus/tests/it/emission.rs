use peerz_consensus::emission::{draw, granted, scheduled, Draw, Schedule};
use proptest::{collection::vec, prelude::*};

use crate::amount;

const SCHEDULE: Schedule = Schedule {
	initial: 1_000,
	halving: 10,
	cap: 25_000,
};

#[test]
fn it_halves() {
	let amounts: Vec<u128> = [0, 9, 10, 19, 20, 99, 100, u32::MAX]
		.map(|epoch| scheduled(&SCHEDULE, epoch))
		.to_vec();
	assert_eq!(amounts, [1_000, 1_000, 500, 500, 250, 1, 0, 0]);
	assert_eq!(scheduled(&Schedule { halving: 0, ..SCHEDULE }, 77), 1_000);
}

#[test]
fn the_pot_is_spent_before_anything_is_minted() {
	assert_eq!(draw(&SCHEDULE, 0, 0, 300), Draw { spend: 300, mint: 700 });
	assert_eq!(
		draw(&SCHEDULE, 0, 24_900, 300),
		Draw { spend: 300, mint: 100 },
		"up to the cap"
	);
	assert_eq!(draw(&SCHEDULE, 0, 30_000, 5_000), Draw { spend: 1_000, mint: 0 });
	assert_eq!(draw(&SCHEDULE, 0, 0, 300).pool(), 1_000);
}

#[test]
fn all_that_is_granted() {
	assert_eq!(granted(&SCHEDULE, 25), 10 * 1_000 + 10 * 500 + 5 * 250);
	assert_eq!(
		granted(
			&Schedule {
				initial: u128::MAX,
				halving: 0,
				cap: 0
			},
			2
		),
		u128::MAX
	);
}

fn schedule() -> impl Strategy<Value = Schedule> {
	(amount(), 0_u32..50, amount()).prop_map(|(initial, halving, cap)| Schedule { initial, halving, cap })
}

proptest! {
	#[test]
	fn issuance_never_passes_the_cap(schedule in schedule(), start in amount(), pots in vec(amount(), 1..60)) {
		let mut issuance = start.min(schedule.cap);
		for (epoch, pot) in (0..).zip(pots) {
			let drawn = draw(&schedule, epoch, issuance, pot);
			issuance = issuance.checked_add(drawn.mint).expect("below the cap");
			prop_assert!(issuance <= schedule.cap);
			prop_assert!(drawn.spend <= pot);
			prop_assert!(drawn.pool() <= scheduled(&schedule, epoch));
		}
	}

	#[test]
	fn the_pool_is_short_only_when_both_sources_are_dry(schedule in schedule(), epoch in any::<u32>(), issuance in amount(), pot in amount()) {
		let drawn = draw(&schedule, epoch, issuance, pot);
		if drawn.pool() < scheduled(&schedule, epoch) {
			prop_assert_eq!(drawn.spend, pot);
			prop_assert!(issuance.saturating_add(drawn.mint) >= schedule.cap);
		}
	}

	#[test]
	fn granted_is_the_sum_of_the_schedule(initial in 0..u128::MAX >> 16, halving in 0_u32..50, epochs in 0_u32..300) {
		let schedule = Schedule { initial, halving, cap: 0 };
		prop_assert_eq!(granted(&schedule, epochs), (0..epochs).map(|epoch| scheduled(&schedule, epoch)).sum::<u128>());
		prop_assert!(scheduled(&schedule, epochs) >= scheduled(&schedule, epochs + 1));
	}
}
