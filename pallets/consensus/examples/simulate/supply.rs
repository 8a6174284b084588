//! Providers that buy from themselves, and providers that hold capacity back to look scarce.

use peerz_consensus::{
	scarcity::{effective, next_multiplier},
	split::{largest_remainder, pro_rata},
	units::{client_capped, rewarded},
	PPM,
};

use crate::{draws::Draws, percent, times};

const POOL: u128 = 1_000_000_000_000;
const WEIGHTS: [u32; 4] = [600_000, 200_000, 100_000, 100_000];
const CLIENT_SHARE_BPS: u16 = 2_500;
const TARGET: u32 = 600_000;

/// Prints both tables.
pub fn print(epochs: u32, providers: u32) {
	self_dealing(epochs, providers);
	withholding(epochs);
}

/// A tenth of the providers fills its idle time with paid requests of its own, from some number of client keys.
fn self_dealing(epochs: u32, providers: u32) {
	println!("### Providers that are their own clients\n");
	println!("Every provider has 60 % of its capacity in demand, from 8 clients. A tenth fills the rest by itself.\n");
	println!("| own client keys per provider | of the capacity | of the compute pool | against honest conduct | units executed for it |");
	println!("| --- | --- | --- | --- | --- |");
	for keys in [0_u64, 1, 4, 32] {
		let mut draws = Draws(2);
		let (mut ring, mut all, mut executed, mut counted) = (0_u128, 0_u128, 0_u128, 0_u128);
		for _ in 0..epochs {
			let mut own = 0;
			let mut sum = 0;
			for provider in 0..providers {
				let is_ring = provider % 10 == 0;
				let capacity = 80_000_u64;
				let mut clients: Vec<u128> = (0..8).map(|_| draws.between(4_000, 8_000) as u128).collect();
				let demand: u128 = clients.iter().sum();
				if is_ring && keys > 0 {
					let idle = (capacity as u128).saturating_sub(demand);
					executed += idle;
					clients.extend(largest_remainder(idle, &vec![1; keys as usize]));
				}
				let units = rewarded(
					client_capped(&clients, CLIENT_SHARE_BPS),
					u128::MAX,
					capacity as u128,
					PPM,
				);
				sum += units;
				own += if is_ring { units } else { 0 };
				counted += if is_ring { demand } else { 0 };
			}
			ring += pro_rata(POOL, own, sum);
			all += POOL;
		}
		println!(
			"| {keys} | 10.0 % | {} | {} | {} of the honest work |",
			percent(ring, all),
			times(ring, all / 10),
			times(executed + counted, counted),
		);
	}
	println!();
}

/// A group hides half of its capacity for the whole run; demand goes to whoever shows room.
fn withholding(epochs: u32) {
	println!("### Providers that hold capacity back\n");
	println!("A group hides half of its capacity; the target of use is 60 %.\n");
	println!("| demand, of all capacity | group's part of the capacity | compute's multiplier | compute's part of the pool | group's pay, against showing all |");
	println!("| --- | --- | --- | --- | --- |");
	for demand in [30, 60] {
		for part in [0, 10, 30, 60, 100] {
			let hiding = run(epochs, demand, part, true);
			let showing = run(epochs, demand, part, false);
			let pay = if part == 0 {
				"-".into()
			} else {
				times(hiding.pay, showing.pay)
			};
			println!(
				"| {demand} % | {part} % | {} | {} | {pay} |",
				times(hiding.multiplier, PPM as u128),
				percent(hiding.compute, hiding.pools),
			);
		}
	}
	println!();
}

/// What came of a run.
struct Outcome {
	/// The last multiplier of the compute role, parts per million.
	multiplier: u128,
	/// All pools, and compute's part of them.
	pools: u128,
	compute: u128,
	/// What the group was paid.
	pay: u128,
}

/// `demand` and the group's `part` in per cent of all capacity.
fn run(epochs: u32, demand: u128, part: u128, hides: bool) -> Outcome {
	const CAPACITY: u128 = 1_000_000;
	let group = CAPACITY * part / 100 / if hides { 2 } else { 1 };
	let shown = CAPACITY - CAPACITY * part / 100 + group;
	let served = (CAPACITY * demand / 100).min(shown);
	let mut outcome = Outcome {
		multiplier: PPM as u128,
		pools: 0,
		compute: 0,
		pay: 0,
	};
	for _ in 0..epochs {
		let multiplier = next_multiplier(outcome.multiplier as u32, served, shown, TARGET);
		let weights: Vec<u128> = effective(&WEIGHTS, &[multiplier]).into_iter().map(u128::from).collect();
		let compute = largest_remainder(POOL, &weights).first().copied().unwrap_or(0);
		outcome.multiplier = multiplier as u128;
		outcome.pools += POOL;
		outcome.compute += compute;
		outcome.pay += pro_rata(compute, served * group / shown, served);
	}
	outcome
}
