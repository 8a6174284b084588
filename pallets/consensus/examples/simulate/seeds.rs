//! The last revealers of the epoch's seed: what choosing among the outcomes gives them, and what it costs.

use peerz_consensus::{
	assignment::{assigned, AssignmentParams},
	seed::next_seed,
};

use crate::draws::Draws;

const VALIDATORS: u32 = 64;
/// The attackers' validators, all of whom attest for each other.
const RING: usize = 20;
/// The attackers' providers.
const PROVIDERS: u32 = 100;
const TRIALS: u32 = 100;

/// Prints a row per number of attackers that reveal last.
pub fn print() {
	println!("### The last revealers of the seed\n");
	println!(
		"{VALIDATORS} validators, {RING} of them and {PROVIDERS} providers belong to the attackers. They want many of their providers \
		 judged by a majority of their own, see all other reveals first and withhold whatever gives the best seed. {TRIALS} trials.\n"
	);
	println!("| reveal last | seeds to choose from | own majorities, seed not chosen | chosen | gain | reveals withheld, each one epoch's pay |");
	println!("| --- | --- | --- | --- | --- | --- |");
	for last in [0, 1, 2, 4, 6] {
		let mut draws = Draws(3);
		let (mut plain, mut chosen, mut withheld) = (0, 0, 0);
		for _ in 0..TRIALS {
			let (honest, best, cost) = trial(last, &mut draws);
			plain += honest;
			chosen += best;
			withheld += cost;
		}
		let gain = (chosen.max(plain) - plain) * 100 / plain.max(1);
		println!(
			"| {last} | {} | {} | {} | {gain} % | {} |",
			1 << last,
			hundredths(plain),
			hundredths(chosen),
			hundredths(withheld)
		);
	}
	println!();
}

fn hundredths(sum: u32) -> String {
	let scaled = sum * 100 / TRIALS;
	format!("{}.{:02}", scaled / 100, scaled % 100)
}

/// Own majorities with everything revealed, with the best choice, and how many reveals that choice withholds.
fn trial(last: u32, draws: &mut Draws) -> (u32, u32, u32) {
	let (previous, others) = (draws.key(), draws.key());
	let validators: Vec<[u8; 32]> = (0..VALIDATORS).map(|_| draws.key()).collect();
	let providers: Vec<[u8; 32]> = (0..PROVIDERS).map(|_| draws.key()).collect();
	let own: Vec<[u8; 32]> = (0..last).map(|_| draws.key()).collect();
	let outcome = |kept: u32| {
		// One value stands for the reveals of all others: they are fixed when the attackers choose.
		let mut reveals = vec![(u32::MAX, others)];
		reveals.extend(
			(0..last)
				.zip(&own)
				.filter(|(bit, _)| kept >> bit & 1 == 1)
				.map(|(bit, value)| (bit, *value)),
		);
		next_seed(&previous, 1, &reveals).map_or(0, |seed| majorities(&seed, &validators, &providers))
	};
	let all = (1 << last) - 1;
	// The best seed; of equals the one that withholds least.
	let best = (0..=all)
		.map(|kept: u32| (outcome(kept), kept.count_ones()))
		.max()
		.unwrap_or_default();
	(outcome(all), best.0, last - best.1)
}

/// Providers of which more than half of the assigned validators belong to the attackers (the first of the list).
fn majorities(seed: &[u8; 32], validators: &[[u8; 32]], providers: &[[u8; 32]]) -> u32 {
	let params = AssignmentParams::default();
	let is_own_majority = |provider: &&[u8; 32]| {
		let judges = assigned(&params, seed, *provider, validators);
		2 * judges.iter().filter(|judge| **judge < RING).count() > judges.len()
	};
	providers.iter().filter(is_own_majority).count() as u32
}
