//! Random numbers that are the same everywhere: SplitMix64.

/// A generator.
#[derive(Clone)]
pub struct Draws(pub u64);

impl Draws {
	/// The next 64 bits.
	pub fn next(&mut self) -> u64 {
		self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
		let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
		let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
		mixed ^ (mixed >> 31)
	}

	/// A number in `least..=most`.
	pub fn between(&mut self, least: u64, most: u64) -> u64 {
		least + self.next() % (most - least + 1)
	}

	/// 32 bytes.
	pub fn key(&mut self) -> [u8; 32] {
		let mut key = [0; 32];
		for chunk in key.chunks_exact_mut(8) {
			chunk.copy_from_slice(&self.next().to_le_bytes());
		}
		key
	}
}
