//! Validators that copy, share or lie, and the providers they lie for.

use peerz_consensus::{
	accuracy::{accuracy, pay_weight, Measured, TOLERANCE_BPS},
	assignment::{assigned, AssignmentParams},
	median::capped_median,
	split::pro_rata,
	units::rewarded,
	PPM,
};

use crate::{draws::Draws, percent, times};

const COMPUTE_POOL: u128 = 600_000_000_000;
const VALIDATOR_POOL: u128 = 200_000_000_000;
const STAKE: u128 = 1_000_000;
const CAP_BPS: u16 = 1_000;
/// Epochs for which an assignment is used; 1 in the real network. Fresh draws cost hashes and change no average.
const REDRAWN_EVERY: u32 = 10;
/// Planted faults that a validator meets in an epoch.
const PLANTED: u32 = 2;

/// What the attackers among the validators do.
#[derive(Clone, Copy, PartialEq)]
enum Conduct {
	/// Measure like the others.
	Honest,
	/// Report the medians of the epoch before.
	CopyLast,
	/// One measures and the others are handed its row.
	ShareOne,
	/// Three times the units and capacity for their own providers, nothing for all others.
	Inflate,
	/// The truth about their own providers, nothing for all others.
	Belittle,
}

#[derive(Clone, Copy)]
struct Scenario {
	name: &'static str,
	validators: u32,
	attackers: u32,
	/// One provider in so many belongs to the attackers.
	ring: usize,
	conduct: Conduct,
}

impl Scenario {
	const fn new(name: &'static str, validators: u32, attackers: u32, ring: usize, conduct: Conduct) -> Self {
		Self {
			name,
			validators,
			attackers,
			ring,
			conduct,
		}
	}

	fn owns(&self, provider: usize) -> bool {
		provider.is_multiple_of(self.ring)
	}

	/// What an attacker reports of `measured` units or capacity.
	fn lie(&self, provider: usize, measured: u128) -> u128 {
		match (self.conduct, self.owns(provider)) {
			(Conduct::Inflate, true) => measured * 3,
			(Conduct::Inflate | Conduct::Belittle, false) => 0,
			_ => measured,
		}
	}
}

const DRAWN: &str = "inflate own, deny others; 15 of 64 drawn";

const SCENARIOS: [Scenario; 10] = [
	Scenario::new("honest, for comparison", 64, 16, 10, Conduct::Honest),
	Scenario::new("copy the last epoch's medians", 64, 16, 10, Conduct::CopyLast),
	Scenario::new("hand one row around", 64, 16, 10, Conduct::ShareOne),
	Scenario::new("inflate own, deny others; all attest all", 16, 7, 10, Conduct::Inflate),
	Scenario::new("deny others; all attest all", 16, 8, 10, Conduct::Belittle),
	Scenario::new(DRAWN, 64, 13, 10, Conduct::Inflate),
	Scenario::new(DRAWN, 64, 26, 10, Conduct::Inflate),
	Scenario::new(DRAWN, 64, 26, 2, Conduct::Inflate),
	Scenario::new(DRAWN, 64, 32, 10, Conduct::Inflate),
	Scenario::new("deny others; 15 of 64 drawn", 64, 32, 10, Conduct::Belittle),
];

#[derive(Default)]
struct Earned {
	ring_providers: u128,
	all_providers: u128,
	ring_validators: u128,
	all_validators: u128,
}

struct Network {
	keys: Vec<[u8; 32]>,
	providers: Vec<[u8; 32]>,
	capacity: Vec<u64>,
	assigned: Vec<Vec<usize>>,
}

impl Network {
	fn new(validators: u32, providers: u32, draws: &mut Draws) -> Self {
		let keys = (0..validators).map(|_| draws.key()).collect();
		let names = (0..providers).map(|_| draws.key()).collect();
		let capacity = (0..providers).map(|_| 10_000 << draws.between(0, 4)).collect();
		Self {
			keys,
			providers: names,
			capacity,
			assigned: Vec::new(),
		}
	}

	fn redraw(&mut self, draws: &mut Draws) {
		let (seed, params) = (draws.key(), AssignmentParams::default());
		self.assigned = self
			.providers
			.iter()
			.map(|provider| assigned(&params, &seed, provider, &self.keys))
			.collect();
	}
}

/// One epoch: measures, medians, pay. `last` holds the medians of the epoch before and is replaced.
fn epoch(scenario: &Scenario, network: &Network, last: &mut [u128], draws: &mut Draws, earned: &mut Earned) {
	let mut rows: Vec<Vec<Measured>> = vec![Vec::new(); network.keys.len()];
	let mut paid_units = Vec::with_capacity(network.providers.len());
	for (provider, judges) in network.assigned.iter().enumerate() {
		let capacity = network.capacity[provider] as u128;
		// Served: 60 % of the capacity, 30 points more or less from epoch to epoch.
		let served = capacity * draws.between(300, 900) as u128 / 1_000;
		let mut measure = || served * draws.between(9_900, 10_100) as u128 / 10_000;
		let shared = measure();
		let mut votes = Vec::with_capacity(judges.len());
		let mut capacities = Vec::with_capacity(judges.len());
		for judge in judges {
			let attacks = *judge < scenario.attackers as usize;
			let own = measure();
			let units = match scenario.conduct {
				Conduct::CopyLast if attacks => last[provider],
				Conduct::ShareOne if attacks => shared,
				_ if attacks => scenario.lie(provider, own),
				_ => own,
			};
			votes.push((units, STAKE));
			capacities.push((
				if attacks {
					scenario.lie(provider, capacity)
				} else {
					capacity
				},
				STAKE,
			));
		}
		let median = capped_median(&votes, CAP_BPS).unwrap_or(0);
		let measured = capped_median(&capacities, CAP_BPS).unwrap_or(0);
		for (judge, (units, _)) in judges.iter().zip(&votes) {
			rows[*judge].push(Measured {
				reported: Some(*units),
				median,
			});
		}
		last[provider] = median;
		// Bonds cover one and a half times the true capacity.
		paid_units.push(rewarded(median, capacity * 3 / 2, measured, PPM));
	}
	pay_providers(scenario, &paid_units, earned);
	pay_validators(scenario, &rows, draws, earned);
}

fn pay_providers(scenario: &Scenario, units: &[u128], earned: &mut Earned) {
	let all: u128 = units.iter().sum();
	for (provider, units) in units.iter().enumerate() {
		let pay = pro_rata(COMPUTE_POOL, *units, all);
		earned.all_providers += pay;
		earned.ring_providers += if scenario.owns(provider) { pay } else { 0 };
	}
}

fn pay_validators(scenario: &Scenario, rows: &[Vec<Measured>], draws: &mut Draws, earned: &mut Earned) {
	let stakes = STAKE * rows.len() as u128;
	for (judge, row) in rows.iter().enumerate() {
		let attacks = judge < scenario.attackers as usize;
		// Who looks, or is told, finds 19 of 20 planted faults; old medians show none.
		let looks = !(attacks && scenario.conduct == Conduct::CopyLast);
		let missed = (0..PLANTED).filter(|_| !looks || draws.between(1, 20) == 1).count() as u32;
		let score = accuracy(row, TOLERANCE_BPS, PLANTED, missed).score;
		let pay = pro_rata(VALIDATOR_POOL, pay_weight(STAKE, score), stakes);
		earned.all_validators += pay;
		earned.ring_validators += if attacks { pay } else { 0 };
	}
}

fn run(scenario: &Scenario, epochs: u32, providers: u32) -> Earned {
	let mut draws = Draws(1);
	let mut network = Network::new(scenario.validators, providers, &mut draws);
	let mut last: Vec<u128> = network
		.capacity
		.iter()
		.map(|capacity| *capacity as u128 * 6 / 10)
		.collect();
	let mut earned = Earned::default();
	for number in 0..epochs {
		if number % REDRAWN_EVERY == 0 {
			network.redraw(&mut draws);
		}
		epoch(scenario, &network, &mut last, &mut draws, &mut earned);
	}
	earned
}

/// Runs all scenarios and prints a row for each.
pub fn print(epochs: u32, providers: u32) {
	println!("### Validators, and the providers that are theirs\n");
	println!(
		"| attackers | of the stake | of the validators' pay | of the providers | of the compute pool \
		 | of all pay, against honest conduct |"
	);
	println!("| --- | --- | --- | --- | --- | --- |");
	for scenario in &SCENARIOS {
		let earned = run(scenario, epochs, providers);
		// Honest conduct varies little: a twentieth of the epochs tells it.
		let short = epochs.div_ceil(20);
		let honest = run(
			&Scenario {
				conduct: Conduct::Honest,
				..*scenario
			},
			short,
			providers,
		);
		let honest_pay = (honest.ring_validators + honest.ring_providers) * epochs as u128 / short as u128;
		println!(
			"| {} | {} | {} | {} | {} | {} |",
			scenario.name,
			percent(scenario.attackers as u128, scenario.validators as u128),
			percent(earned.ring_validators, earned.all_validators),
			percent(1, scenario.ring as u128),
			percent(earned.ring_providers, earned.all_providers),
			times(earned.ring_validators + earned.ring_providers, honest_pay),
		);
	}
	println!();
}
