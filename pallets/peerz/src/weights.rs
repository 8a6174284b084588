//! What calls cost. Written by hand from counted reads and writes until it is measured: the constant parts are upper
//! estimates of the computing (30 microseconds for a call, 60 for a signature, 1 for a hash).

use frame_support::{
	traits::Get,
	weights::{constants::WEIGHT_REF_TIME_PER_MICROS, Weight},
};

/// What calls and steps cost.
pub trait WeightInfo {
	/// A change by governance.
	fn govern() -> Weight;
	/// A change of a bond.
	fn bond() -> Weight;
	/// A registration, or its end.
	fn register() -> Weight;
	/// A binding with its two signatures.
	fn bind_node_key() -> Weight;
	/// A change of a vote.
	fn vote() -> Weight;
	/// A work root or a commitment.
	fn commit() -> Weight;
	/// A reveal with `entries` entries, each ranked against `validators` validators.
	fn reveal(entries: u32, validators: u32) -> Weight;
	/// A step over `subjects` subjects with rows of `validators` validators.
	fn finalise_subjects(subjects: u32, validators: u32) -> Weight;
	/// The step that fixes the seed, pays `validators` validators or freezes them.
	fn finalise_validators(validators: u32) -> Weight;
	/// A review with `voters` votes.
	fn review(voters: u32) -> Weight;
	/// A step that deletes `keys` keys.
	fn purge(keys: u32) -> Weight;
	/// The step that splits the emission.
	fn close() -> Weight;
	/// A claim.
	fn claim() -> Weight;
	/// A report with its two signatures.
	fn report() -> Weight;
	/// A step of a dispute, with a panel drawn from `validators` validators.
	fn dispute(validators: u32) -> Weight;
	/// A slash that is applied or cancelled.
	fn slash() -> Weight;
	/// What every block pays.
	fn on_initialize() -> Weight;
}

/// Weights from counted database accesses.
pub struct CountedWeight<T>(core::marker::PhantomData<T>);

fn computing(micros: u64, proof_bytes: u64) -> Weight {
	Weight::from_parts(micros.saturating_mul(WEIGHT_REF_TIME_PER_MICROS), proof_bytes)
}

impl<T: frame_system::Config> WeightInfo for CountedWeight<T> {
	fn govern() -> Weight {
		// A role's terms are checked against those of all others.
		computing(40, 6_000).saturating_add(T::DbWeight::get().reads_writes(22, 4))
	}

	fn bond() -> Weight {
		computing(60, 6_000).saturating_add(T::DbWeight::get().reads_writes(8, 4))
	}

	fn register() -> Weight {
		// A release looks at all models of the owner.
		computing(80, 12_000).saturating_add(T::DbWeight::get().reads_writes(30, 14))
	}

	fn bind_node_key() -> Weight {
		computing(200, 8_000).saturating_add(T::DbWeight::get().reads_writes(8, 5))
	}

	fn vote() -> Weight {
		// Which roles are open is read of each; an eviction changes the holds of two accounts.
		computing(80, 10_000).saturating_add(T::DbWeight::get().reads_writes(28, 8))
	}

	fn commit() -> Weight {
		computing(40, 12_000).saturating_add(T::DbWeight::get().reads_writes(7, 1))
	}

	fn reveal(entries: u32, validators: u32) -> Weight {
		let hashes = u64::from(entries).saturating_mul(u64::from(validators));
		let pages = u64::from(entries.min(64));
		computing(100 + hashes + 2 * u64::from(entries), 20_000)
			.saturating_add(Weight::from_parts(0, 200).saturating_mul(u64::from(entries)))
			.saturating_add(T::DbWeight::get().reads_writes(10 + u64::from(entries), 3 + pages))
	}

	fn finalise_subjects(subjects: u32, validators: u32) -> Weight {
		let pairs = u64::from(subjects).saturating_mul(u64::from(validators));
		computing(200 + 2 * pairs, 20_000)
			.saturating_add(Weight::from_parts(0, 400).saturating_mul(u64::from(subjects)))
			.saturating_add(Weight::from_parts(0, 1_400).saturating_mul(u64::from(validators)))
			.saturating_add(T::DbWeight::get().reads_writes(
				10 + 3 * u64::from(subjects) + u64::from(validators),
				4 + 2 * u64::from(subjects) + u64::from(validators),
			))
	}

	fn finalise_validators(validators: u32) -> Weight {
		let count = u64::from(validators);
		computing(100 + 40 * count, 20_000)
			.saturating_add(Weight::from_parts(0, 600).saturating_mul(count))
			.saturating_add(T::DbWeight::get().reads_writes(10 + 10 * count, 4 + 8 * count))
	}

	fn review(voters: u32) -> Weight {
		let count = u64::from(voters);
		computing(200 + 40 * count, 10_000)
			.saturating_add(Weight::from_parts(0, 200).saturating_mul(count))
			.saturating_add(T::DbWeight::get().reads_writes(6 + 16 + count, 4))
	}

	fn purge(keys: u32) -> Weight {
		let count = u64::from(keys);
		// Each key is found, read and deleted.
		computing(50 + 2 * count, 2_000)
			.saturating_add(Weight::from_parts(0, 200).saturating_mul(count))
			.saturating_add(T::DbWeight::get().reads_writes(6 + 2 * count, 6 + count))
	}

	fn close() -> Weight {
		computing(200, 20_000).saturating_add(T::DbWeight::get().reads_writes(100, 90))
	}

	fn claim() -> Weight {
		computing(60, 6_000).saturating_add(T::DbWeight::get().reads_writes(8, 5))
	}

	fn report() -> Weight {
		computing(250, 10_000).saturating_add(T::DbWeight::get().reads_writes(14, 12))
	}

	fn dispute(validators: u32) -> Weight {
		computing(100 + 2 * u64::from(validators), 20_000).saturating_add(T::DbWeight::get().reads_writes(16, 14))
	}

	fn slash() -> Weight {
		computing(100, 10_000).saturating_add(T::DbWeight::get().reads_writes(12, 10))
	}

	fn on_initialize() -> Weight {
		computing(5, 1_000).saturating_add(T::DbWeight::get().reads_writes(3, 2))
	}
}
