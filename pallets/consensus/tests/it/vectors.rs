//! `tests/vectors/consensus.json`: arguments and results of every function, replayed by `chain_client.consensus` in Python.
//!
//! `PEERZ_REWRITE_VECTORS=1 cargo test -p peerz-consensus vectors` writes the file anew: only for a wanted change of the rules.

use std::{fs, path::Path};

use codec::Encode;
use peerz_consensus::{
	accuracy, arith, assignment, commit, emission, hashing::blake2_256, median, merkle, review, scarcity, seed, slash,
	split, units, PPM,
};
use serde_json::{json, Map, Value};

/// Numbers from a counter under a hash: the same on every machine and in every release of every crate.
struct Draws(u64);

impl Draws {
	fn hash(&mut self) -> [u8; 32] {
		self.0 += 1;
		blake2_256(&[b"peerz/vectors/v1", &self.0.to_le_bytes()])
	}

	fn any(&mut self) -> u128 {
		let bytes = self.hash();
		u128::from_le_bytes(bytes[..16].try_into().expect("16 bytes"))
	}

	/// Of any size: as often a small number as a large one, now and then an extreme.
	fn amount(&mut self) -> u128 {
		match self.below(16) {
			0 => 0,
			1 => u128::MAX,
			_ => {
				let shift = self.below(128) as u32;
				self.any() >> shift
			}
		}
	}

	fn below(&mut self, limit: u128) -> u128 {
		self.any() % limit
	}

	fn list(&mut self, least: u128, most: u128, mut one: impl FnMut(&mut Self) -> u128) -> Vec<u128> {
		let count = least + self.below(most - least + 1);
		(0..count).map(|_| one(self)).collect()
	}
}

/// Numbers that may leave 64 bits are written as strings.
fn big(value: u128) -> Value {
	Value::String(value.to_string())
}

fn bigs(values: &[u128]) -> Value {
	values.iter().copied().map(big).collect()
}

fn pairs(values: &[(u128, u128)]) -> Value {
	values.iter().map(|(a, b)| json!([big(*a), big(*b)])).collect()
}

fn hex(bytes: &[u8]) -> Value {
	let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
	Value::String(format!("0x{digits}"))
}

fn hexes<T: AsRef<[u8]>>(values: &[T]) -> Value {
	values.iter().map(|value| hex(value.as_ref())).collect()
}

fn case(arguments: Value, result: Value) -> Value {
	json!({ "arguments": arguments, "result": result })
}

fn repeat(draws: &mut Draws, count: u32, one: impl Fn(&mut Draws) -> Value) -> Value {
	(0..count).map(|_| one(draws)).collect()
}

fn arithmetic(draws: &mut Draws, into: &mut Map<String, Value>) {
	let mul_div = repeat(draws, 40, |draws| {
		let (a, b, d) = (draws.amount(), draws.amount(), draws.amount());
		case(bigs(&[a, b, d]), big(arith::mul_div(a, b, d)))
	});
	let smooth = repeat(draws, 20, |draws| {
		let (previous, sample, span) = (draws.amount(), draws.amount(), draws.below(40) as u32);
		case(
			json!([big(previous), big(sample), span]),
			big(arith::smooth(previous, sample, span)),
		)
	});
	into.insert("mul_div".into(), mul_div);
	into.insert("smooth".into(), smooth);
}

fn splits(draws: &mut Draws, into: &mut Map<String, Value>) {
	let largest = repeat(draws, 40, |draws| {
		let (total, weights) = (draws.amount(), draws.list(0, 8, Draws::amount));
		case(
			json!([big(total), bigs(&weights)]),
			bigs(&split::largest_remainder(total, &weights)),
		)
	});
	let small = repeat(draws, 20, |draws| {
		let (total, weights) = (draws.below(100), draws.list(2, 8, |draws| draws.below(5)));
		case(
			json!([big(total), bigs(&weights)]),
			bigs(&split::largest_remainder(total, &weights)),
		)
	});
	let pro_rata = repeat(draws, 20, |draws| {
		let (total, part, whole) = (draws.amount(), draws.amount(), draws.amount());
		case(bigs(&[total, part, whole]), big(split::pro_rata(total, part, whole)))
	});
	into.insert("largest_remainder".into(), largest);
	into.insert("largest_remainder_ties".into(), small);
	into.insert("pro_rata".into(), pro_rata);
}

fn medians(draws: &mut Draws, into: &mut Map<String, Value>) {
	let caps = repeat(draws, 30, |draws| {
		let (weights, cap) = (draws.list(0, 20, Draws::amount), draws.below(4_000) as u16);
		case(json!([bigs(&weights), cap]), bigs(&median::cap_weights(&weights, cap)))
	});
	let medians = repeat(draws, 40, |draws| {
		let values = draws.list(0, 16, |draws| draws.below(1_000));
		let votes: Vec<(u128, u128)> = values.into_iter().map(|value| (value, draws.amount())).collect();
		let found = median::capped_median(&votes, 1_000);
		case(json!([pairs(&votes), 1_000]), found.map_or(Value::Null, big))
	});
	let quorums = repeat(draws, 20, |draws| {
		let (counted, eligible) = (draws.amount(), draws.amount());
		case(
			json!([big(counted), big(eligible), 2_000]),
			median::quorum_met(counted, eligible, 2_000).into(),
		)
	});
	into.insert("cap_weights".into(), caps);
	into.insert("capped_median".into(), medians);
	into.insert("quorum_met".into(), quorums);
}

fn reviews(draws: &mut Draws, into: &mut Map<String, Value>) {
	let fits = repeat(draws, 30, |draws| {
		let count = 1 + draws.below(6);
		let mut column = |most: u128| -> Vec<u32> { (0..count).map(|_| draws.below(most) as u32).collect() };
		let (target, lower, upper) = (column(1_000_000), column(150_000), column(1_000_000));
		let fitted = review::fit(&target, &lower, &upper);
		case(json!([target, lower, upper]), json!(fitted))
	});
	let reviews = repeat(draws, 40, |draws| {
		let roles = draw_roles(draws);
		let ballots: Vec<review::Ballot> = (0..draws.below(14)).map(|_| draw_ballot(draws, roles.len())).collect();
		let max_step = [0, 50_000, 120_000][draws.below(3) as usize];
		let params = review::ReviewParams {
			max_step,
			..Default::default()
		};
		let locked = ballots
			.iter()
			.fold(0_u128, |sum, ballot| sum.saturating_add(ballot.stake));
		let eligible = locked.saturating_mul(draws.below(7));
		let found = review::review(&params, &roles, &ballots, eligible).expect("sound roles");
		let roles: Vec<Value> = roles
			.iter()
			.map(|role| json!([role.id, role.weight, role.floor, role.ceiling]))
			.collect();
		let ballots: Vec<Value> = ballots
			.iter()
			.map(|ballot| json!([big(ballot.stake), ballot.weights]))
			.collect();
		let result = json!({
			"counted": big(found.counted),
			"eligible": big(found.eligible),
			"quorum_met": found.quorum_met,
			"capped": bigs(&found.capped),
			"medians": found.medians,
			"target": found.target,
			"next": found.next,
		});
		case(json!([max_step, roles, ballots, big(eligible)]), result)
	});
	into.insert("fit".into(), fits);
	into.insert("review".into(), reviews);
}

fn draw_roles(draws: &mut Draws) -> Vec<review::RoleState> {
	let wish = draws.list(2, 7, |draws| draws.below(1_000_000));
	let parts = split::largest_remainder(PPM as u128, &wish);
	let mut roles = Vec::new();
	for (id, weight) in (0_u8..).zip(parts) {
		let (floor, ceiling) = [(10_000, 700_000), (0, 700_000), (0, 0)][draws.below(3) as usize];
		roles.push(review::RoleState {
			id: 2 * id,
			weight: weight as u32,
			floor,
			ceiling,
		});
	}
	roles
}

fn draw_ballot(draws: &mut Draws, roles: usize) -> review::Ballot {
	let wish: Vec<u128> = (0..roles).map(|_| draws.below(4) * draws.below(1_000)).collect();
	let parts = split::largest_remainder(10_000, &wish);
	let weights = (0_u8..)
		.zip(parts)
		.filter(|(_, part)| *part > 0)
		.map(|(id, part)| (2 * id, part as u16))
		.collect();
	review::Ballot {
		stake: draws.amount() >> 8,
		weights,
	}
}

fn money(draws: &mut Draws, into: &mut Map<String, Value>) {
	let scarcity = repeat(draws, 40, |draws| {
		let (served, capacity) = (draws.amount(), draws.amount());
		let target = draws.below(1_000_001) as u32;
		let previous = 500_000 + draws.below(1_500_001) as u32;
		let next = scarcity::next_multiplier(previous, served, capacity, target);
		case(json!([previous, big(served), big(capacity), target]), next.into())
	});
	let effective = repeat(draws, 20, |draws| {
		let weights: Vec<u32> = (0..5)
			.map(|_| draws.below(3) as u32 * draws.below(500_000) as u32)
			.collect();
		let multipliers: Vec<u32> = (0..draws.below(6))
			.map(|_| 500_000 + draws.below(1_500_001) as u32)
			.collect();
		let after = scarcity::effective(&weights, &multipliers);
		case(json!([weights, multipliers]), json!(after))
	});
	let draw = repeat(draws, 40, |draws| {
		let schedule = emission::Schedule {
			initial: draws.amount(),
			halving: draws.below(50) as u32,
			cap: draws.amount(),
		};
		let (epoch, issuance, pot) = (draws.below(400) as u32, draws.amount(), draws.amount());
		let drawn = emission::draw(&schedule, epoch, issuance, pot);
		let arguments = json!([
			[big(schedule.initial), schedule.halving, big(schedule.cap)],
			epoch,
			big(issuance),
			big(pot)
		]);
		case(
			arguments,
			json!([
				big(drawn.spend),
				big(drawn.mint),
				big(emission::granted(&schedule, epoch))
			]),
		)
	});
	into.insert("next_multiplier".into(), scarcity);
	into.insert("effective".into(), effective);
	into.insert("draw".into(), draw);
}

fn work(draws: &mut Draws, into: &mut Map<String, Value>) {
	let accuracies = repeat(draws, 40, |draws| {
		let medians = draws.list(0, 8, |draws| draws.below(100_000));
		let measured: Vec<accuracy::Measured> = medians
			.into_iter()
			.map(|median| {
				let near = (median * (90 + draws.below(21)) + 50) / 100;
				let reported = [
					Some(median),
					Some(near),
					Some(draws.amount()),
					None,
					Some(near),
					Some(near),
				];
				accuracy::Measured {
					reported: reported[draws.below(6) as usize],
					median,
				}
			})
			.collect();
		let (planted, missed) = (draws.below(5) as u32, draws.below(6) as u32);
		let found = accuracy::accuracy(&measured, 1_000, planted, missed);
		let rows: Vec<Value> = measured
			.iter()
			.map(|row| json!([row.reported.map(big), big(row.median)]))
			.collect();
		let result = json!([found.deviation, found.distance, found.planted, found.score]);
		case(json!([rows, 1_000, planted, missed]), result)
	});
	let costs = repeat(draws, 30, |draws| {
		let kind = draws.below(3) as usize;
		let (position, new_tokens) = (draws.amount() as u64, draws.amount() as u64);
		let attended = units::attended(position, new_tokens);
		let work = units::Work {
			kind: [units::Kind::Prefill, units::Kind::Decode, units::Kind::Backward][kind],
			blocks: draws.below(100) as u32,
			params_per_block: draws.amount() as u64,
			d_model: draws.amount() as u32,
			new_tokens,
			attended,
		};
		let cost = units::cost(&units::Prices::default(), &work);
		let name = ["prefill", "decode", "backward"][kind];
		let arguments = json!([
			name,
			work.blocks,
			work.params_per_block,
			work.d_model,
			position,
			new_tokens
		]);
		case(arguments, json!([big(attended), big(cost), units::units(cost)]))
	});
	let clients = repeat(draws, 20, |draws| {
		let (by_client, share) = (draws.list(0, 8, Draws::amount), draws.below(10_001) as u16);
		case(
			json!([bigs(&by_client), share]),
			big(units::client_capped(&by_client, share)),
		)
	});
	let paid = repeat(draws, 30, |draws| {
		let caps = units::PayCaps {
			bond_per_unit: draws.amount(),
			bondless_start_bps: 500,
			bondless_step_bps: 100,
			bondless_max_bps: 2_000,
			client_share_bps: 2_500,
		};
		let (attested, bond, capacity) = (draws.amount(), draws.amount(), draws.amount());
		let (clean, pass_rate) = (draws.below(40) as u32, draws.below(1_200_000) as u32);
		let cap = units::bond_cap(&caps, bond, capacity, clean);
		let result = [cap, units::rewarded(attested, cap, capacity, pass_rate)];
		let arguments = json!([
			big(caps.bond_per_unit),
			big(attested),
			big(bond),
			big(capacity),
			clean,
			pass_rate
		]);
		case(arguments, bigs(&result))
	});
	let standing = repeat(draws, 20, |draws| {
		let (capacity, online) = (draws.amount(), draws.below(1_200_000) as u32);
		let (scarcity, rate) = (draws.below(2_200_000) as u32, draws.below(50_000) as u32);
		case(
			json!([big(capacity), online, scarcity, rate]),
			big(units::standing(capacity, online, scarcity, rate)),
		)
	});
	into.insert("accuracy".into(), accuracies);
	into.insert("cost".into(), costs);
	into.insert("client_capped".into(), clients);
	into.insert("rewarded".into(), paid);
	into.insert("standing".into(), standing);
}

fn hashes(draws: &mut Draws, into: &mut Map<String, Value>) {
	let assigned = repeat(draws, 12, |draws| {
		let (seed, provider) = (draws.hash(), draws.hash());
		let validators: Vec<[u8; 32]> = (0..draws.below(40)).map(|_| draws.hash()).collect();
		let chosen = assignment::assigned(&Default::default(), &seed, &provider[..20], &validators);
		case(
			json!([hex(&seed), hex(&provider[..20]), hexes(&validators)]),
			json!(chosen),
		)
	});
	let seeds = repeat(draws, 12, |draws| {
		let (previous, epoch) = (draws.hash(), draws.amount() as u32);
		let reveals: Vec<(u32, [u8; 32])> = (0..draws.below(6))
			.map(|_| (draws.below(9) as u32, draws.hash()))
			.collect();
		let next = seed::next_seed(&previous, epoch, &reveals);
		let given: Vec<Value> = reveals
			.iter()
			.map(|(index, value)| json!([index, hex(value)]))
			.collect();
		case(
			json!([hex(&previous), epoch, given]),
			next.map_or(Value::Null, |next| hex(&next)),
		)
	});
	let chains = repeat(draws, 4, |draws| {
		let (secret, steps) = (draws.hash(), draws.below(20) as u32);
		case(json!([hex(&secret), steps]), hex(&seed::chain(&secret, steps)))
	});
	let trees = repeat(draws, 16, |draws| {
		let data: Vec<[u8; 32]> = (0..1 + draws.below(20)).map(|_| draws.hash()).collect();
		let leaves: Vec<[u8; 32]> = data.iter().map(|data| merkle::leaf(data)).collect();
		let index = draws.below(leaves.len() as u128) as u32;
		let siblings = merkle::proof(&leaves, index).expect("there is such a leaf");
		case(
			json!([hexes(&data), index]),
			json!([hex(&merkle::root(&leaves)), hexes(&siblings)]),
		)
	});
	let commits = repeat(draws, 12, |draws| {
		let entries: Vec<commit::Entry> = (0..draws.below(80))
			.map(|member| commit::Entry {
				member: 3 * member as u32,
				units: draws.amount() as u64,
				capacity: draws.amount() as u64,
				faults: draws.below(3) as u32,
			})
			.collect();
		let row = commit::Row {
			entries,
			evidence_root: draws.hash(),
		};
		let (genesis, validator, salt, epoch) = (draws.hash(), draws.hash(), draws.hash(), draws.amount() as u32);
		let listed: Vec<Value> = row
			.entries
			.iter()
			.map(|entry| json!([entry.member, entry.units, entry.capacity, entry.faults]))
			.collect();
		let arguments = json!([
			hex(&genesis),
			epoch,
			hex(&validator),
			listed,
			hex(&row.evidence_root),
			hex(&salt)
		]);
		let hash = commit::commit_hash(&genesis, epoch, &validator, &row, &salt);
		case(arguments, json!([hex(&blake2_256(&[&row.encode()])), hex(&hash)]))
	});
	into.insert("assigned".into(), assigned);
	into.insert("next_seed".into(), seeds);
	into.insert("chain".into(), chains);
	into.insert("merkle".into(), trees);
	into.insert("commit_hash".into(), commits);
}

fn slashes(draws: &mut Draws, into: &mut Map<String, Value>) {
	let taken = repeat(draws, 40, |draws| {
		let record = slash::Slashed {
			day: draws.below(100) as u32,
			in_day: draws.below(1_000),
			in_month: draws.below(4_000),
		};
		let (today, bond, wanted) = (draws.below(100) as u32, draws.below(20_000), draws.amount());
		let (amount, after) = record.take(&Default::default(), today, bond, wanted);
		let arguments = json!([
			[record.day, big(record.in_day), big(record.in_month)],
			today,
			big(bond),
			big(wanted)
		]);
		case(
			arguments,
			json!([big(amount), [json!(after.day), big(after.in_day), big(after.in_month)]]),
		)
	});
	let breakers = repeat(draws, 20, |draws| {
		let breaker = slash::Breaker {
			usual: draws.below(20_000) as u64,
			seen: draws.below(40) as u32,
		};
		let floor = draws.below(6) as u32;
		let next = breaker.next_epoch(floor);
		case(
			json!([breaker.usual, breaker.seen, floor]),
			json!([breaker.is_open(floor), next.usual]),
		)
	});
	into.insert("slash".into(), taken);
	into.insert("breaker".into(), breakers);
}

#[test]
fn the_committed_file_is_current() {
	let (mut draws, mut all) = (Draws(0), Map::new());
	for write in [arithmetic, splits, medians, reviews, money, work, hashes, slashes] {
		write(&mut draws, &mut all);
	}
	// One case a line: differences can be read.
	let functions: Vec<String> = all
		.iter()
		.map(|(name, cases)| {
			let cases: Vec<String> = cases.as_array().expect("a list").iter().map(Value::to_string).collect();
			format!("\"{name}\": [\n{}\n]", cases.join(",\n"))
		})
		.collect();
	let text = format!("{{\n{}\n}}\n", functions.join(",\n"));
	let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/consensus.json");
	if std::env::var_os("PEERZ_REWRITE_VECTORS").is_some() {
		fs::write(&file, &text).expect("the file can be written");
	}
	let committed = fs::read_to_string(&file).expect("the file is there");
	assert!(
		committed == text,
		"consensus.json is old: PEERZ_REWRITE_VECTORS=1 writes it anew"
	);
}
