use peerz_consensus::{
	units::{attended, bond_cap, client_capped, cost, pay, rewarded, standing, units, Kind, PayCaps, Prices, Work},
	PPM,
};
use proptest::{collection::vec, prelude::*};

use crate::amount;

const CAPS: PayCaps = PayCaps {
	bond_per_unit: 10,
	bondless_start_bps: 500,
	bondless_step_bps: 100,
	bondless_max_bps: 2_000,
	client_share_bps: 2_500,
};

fn work(kind: Kind, blocks: u32, position: u64, new_tokens: u64) -> Work {
	Work {
		kind,
		blocks,
		params_per_block: 3_540_000,
		d_model: 576,
		new_tokens,
		attended: attended(position, new_tokens),
	}
}

#[test]
fn ten_tokens_through_fifteen_blocks() {
	// Positions 1..=10 add up to 55.
	assert_eq!(attended(0, 10), 55);
	assert_eq!(attended(100, 1), 101);
	let prefill = cost(&Prices::default(), &work(Kind::Prefill, 15, 0, 10));
	assert_eq!(prefill, 15 * (3_540_000 * 10 + 2 * 576 * 55));
	assert_eq!(units(prefill), 531);
	assert_eq!(cost(&Prices::default(), &work(Kind::Decode, 15, 0, 10)), 4 * prefill);
	assert_eq!(cost(&Prices::default(), &work(Kind::Backward, 15, 0, 10)), 3 * prefill);
}

#[test]
fn a_client_contributes_a_quarter_at_most() {
	assert_eq!(client_capped(&[100], 2_500), 25);
	assert_eq!(client_capped(&[70, 10, 10, 10], 2_500), 55);
	assert_eq!(client_capped(&[25; 4], 2_500), 100);
}

#[test]
fn bond_and_clean_epochs_raise_the_cap() {
	assert_eq!(bond_cap(&CAPS, 0, 10_000, 0), 500);
	assert_eq!(bond_cap(&CAPS, 0, 10_000, 5), 1_000);
	assert_eq!(bond_cap(&CAPS, 0, 10_000, u32::MAX), 2_000);
	assert_eq!(bond_cap(&CAPS, 25_000, 10_000, 0), 3_000);
	assert_eq!(
		bond_cap(
			&PayCaps {
				bond_per_unit: 0,
				..CAPS
			},
			25_000,
			10_000,
			0
		),
		500
	);
}

#[test]
fn the_least_limit_is_paid_at_the_pass_rate() {
	assert_eq!(rewarded(900, 500, 800, 900_000), 450);
	assert_eq!(rewarded(900, 5_000, 800, 2 * PPM), 800);
	assert_eq!(pay(1_000, 450, 1_350), 333);
}

#[test]
fn standing_ready_pays_a_little() {
	// 1 % of a million units, half of the time, twice as scarce as usual.
	assert_eq!(standing(1_000_000, 500_000, 2 * PPM, 10_000), 10_000);
	assert_eq!(
		standing(1_000_000, 9 * PPM, 9 * PPM, 10_000),
		20_000,
		"time and scarcity are bounded"
	);
}

#[test]
fn extreme_inputs_saturate() {
	let all = Work {
		kind: Kind::Decode,
		blocks: u32::MAX,
		params_per_block: u64::MAX,
		d_model: u32::MAX,
		new_tokens: u64::MAX,
		attended: u128::MAX,
	};
	assert_eq!(cost(&Prices::default(), &all), u128::MAX);
	assert_eq!(units(u128::MAX), u64::MAX);
	assert_eq!(attended(u64::MAX, u64::MAX), u128::MAX);
	assert_eq!(attended(0, u64::MAX), (u64::MAX as u128) << 63);
	assert_eq!(standing(u128::MAX, u32::MAX, u32::MAX, u32::MAX), u128::MAX);
	assert_eq!(
		bond_cap(&CAPS, u128::MAX, u128::MAX, u32::MAX),
		u128::MAX / 10 + u128::MAX / 5
	);
}

fn kind() -> impl Strategy<Value = Kind> {
	prop_oneof![Just(Kind::Prefill), Just(Kind::Decode), Just(Kind::Backward)]
}

proptest! {
	#[test]
	fn splitting_a_span_gains_nothing(kind in kind(), a in 0_u32..1_000, b in 0_u32..1_000, position in 0_u64..1 << 32, tokens in 0_u64..1 << 20) {
		let of = |blocks| cost(&Prices::default(), &work(kind, blocks, position, tokens));
		prop_assert_eq!(of(a) + of(b), of(a + b));
		prop_assert!(units(of(a)) + units(of(b)) <= units(of(a + b)));
	}

	#[test]
	fn chunks_of_a_prefill_cost_what_the_whole_costs(kind in kind(), position in 0_u64..1 << 40, first in 0_u64..1 << 20, second in 0_u64..1 << 20) {
		let of = |position, tokens| cost(&Prices::default(), &work(kind, 7, position, tokens));
		prop_assert_eq!(of(position, first) + of(position + first, second), of(position, first + second));
	}

	#[test]
	fn splitting_an_identity_gains_nothing(
		attested in (0..u128::MAX >> 20, 0..u128::MAX >> 20),
		bond in (0..u128::MAX >> 20, 0..u128::MAX >> 20),
		capacity in (0..u128::MAX >> 20, 0..u128::MAX >> 20),
		clean in any::<u32>(),
		pass_rate in any::<u32>(),
	) {
		let of = |attested, bond, capacity| rewarded(attested, bond_cap(&CAPS, bond, capacity, clean), capacity, pass_rate);
		let parts = of(attested.0, bond.0, capacity.0) + of(attested.1, bond.1, capacity.1);
		prop_assert!(parts <= of(attested.0 + attested.1, bond.0 + bond.1, capacity.0 + capacity.1));
	}

	#[test]
	fn dividing_ones_clients_over_two_identities_gains_nothing(first in vec(0..u128::MAX >> 20, 0..10), second in vec(0..u128::MAX >> 20, 0..10), share in 0_u16..=10_000) {
		let both = [first.clone(), second.clone()].concat();
		prop_assert!(client_capped(&first, share) + client_capped(&second, share) <= client_capped(&both, share));
	}

	#[test]
	fn every_limit_holds_and_none_hurts_when_raised(attested in amount(), cap in amount(), capacity in amount(), pass_rate in any::<u32>(), more in amount()) {
		let paid = rewarded(attested, cap, capacity, pass_rate);
		prop_assert!(paid <= attested.min(cap).min(capacity));
		prop_assert!(paid <= rewarded(attested.saturating_add(more), cap, capacity, pass_rate));
		prop_assert!(paid <= rewarded(attested, cap.saturating_add(more), capacity, pass_rate));
		prop_assert!(paid <= rewarded(attested, cap, capacity.saturating_add(more), pass_rate));
	}
}
