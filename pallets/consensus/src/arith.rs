//! Wide and saturating integer arithmetic: 256-bit intermediates, fractions, integer smoothing.

/// An unsigned 256-bit integer: just what products and long sums of `u128` need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wide {
	// Declared first, so that the derived order is the numeric one.
	high: u128,
	low: u128,
}

impl Wide {
	/// Zero.
	pub const ZERO: Self = Self { high: 0, low: 0 };
	const MAX: Self = Self {
		high: u128::MAX,
		low: u128::MAX,
	};

	/// The product of two `u128`, which always fits.
	pub const fn product(a: u128, b: u128) -> Self {
		const HALF: u128 = u64::MAX as u128;
		let (a_high, a_low, b_high, b_low) = (a >> 64, a & HALF, b >> 64, b & HALF);
		let low = a_low.wrapping_mul(b_low);
		let left = a_high.wrapping_mul(b_low);
		let right = a_low.wrapping_mul(b_high);
		// Three numbers below 2^64 and one product's upper half: no step can overflow.
		let middle = (low >> 64).wrapping_add(left & HALF).wrapping_add(right & HALF);
		let high = a_high
			.wrapping_mul(b_high)
			.wrapping_add(left >> 64)
			.wrapping_add(right >> 64);
		Self {
			high: high.wrapping_add(middle >> 64),
			low: (low & HALF) | (middle << 64),
		}
	}

	/// Exact sum of `u128` values: 2^128 of them would be needed to leave 256 bits.
	pub fn sum<'a>(values: impl IntoIterator<Item = &'a u128>) -> Self {
		values
			.into_iter()
			.fold(Self::ZERO, |total, value| total.plus((*value).into()))
	}

	/// Sum, saturating at the largest value.
	pub const fn plus(self, other: Self) -> Self {
		let (low, carry) = self.low.overflowing_add(other.low);
		let (high, over) = self.high.overflowing_add(other.high);
		let (high, over_by_carry) = high.overflowing_add(carry as u128);
		if over || over_by_carry {
			Self::MAX
		} else {
			Self { high, low }
		}
	}

	/// Product with a `u64`, saturating at the largest value.
	pub fn times(self, factor: u64) -> Self {
		let high = Self::product(self.high, factor as u128);
		if high.high != 0 {
			return Self::MAX;
		}
		Self { high: high.low, low: 0 }.plus(Self::product(self.low, factor as u128))
	}

	/// Quotient and remainder; division by zero gives the largest value and no remainder.
	pub fn div_rem(self, divisor: Self) -> (Self, Self) {
		if divisor == Self::ZERO {
			return (Self::MAX, Self::ZERO);
		}
		if let (0, 0) = (self.high, divisor.high) {
			// `divisor.low` is not zero here.
			let quotient = self.low.checked_div(divisor.low).unwrap_or_default();
			let remainder = self.low.checked_rem(divisor.low).unwrap_or_default();
			return (quotient.into(), remainder.into());
		}
		let (mut quotient, mut remainder) = (Self::ZERO, Self::ZERO);
		for bit in (0..256_u32.saturating_sub(self.leading_zeros())).rev() {
			let overflow = remainder.high >> 127 == 1;
			remainder = remainder.doubled();
			remainder.low |= self.bit(bit);
			quotient = quotient.doubled();
			// With a bit shifted out the remainder stands above 2^256, so above the divisor: the wrapped difference is right.
			if overflow || remainder >= divisor {
				remainder = remainder.wrapping_minus(divisor);
				quotient.low |= 1;
			}
		}
		(quotient, remainder)
	}

	/// The value as `u128`, or `u128::MAX` where it is larger.
	pub const fn saturated(self) -> u128 {
		if self.high == 0 {
			self.low
		} else {
			u128::MAX
		}
	}

	const fn bit(self, bit: u32) -> u128 {
		if bit < 128 {
			(self.low >> bit) & 1
		} else {
			(self.high >> (bit & 127)) & 1
		}
	}

	const fn doubled(self) -> Self {
		Self {
			high: (self.high << 1) | (self.low >> 127),
			low: self.low << 1,
		}
	}

	const fn wrapping_minus(self, other: Self) -> Self {
		let (low, borrow) = self.low.overflowing_sub(other.low);
		Self {
			high: self.high.wrapping_sub(other.high).wrapping_sub(borrow as u128),
			low,
		}
	}

	const fn leading_zeros(self) -> u32 {
		if self.high == 0 {
			128_u32.saturating_add(self.low.leading_zeros())
		} else {
			self.high.leading_zeros()
		}
	}
}

impl From<u128> for Wide {
	fn from(low: u128) -> Self {
		Self { high: 0, low }
	}
}

/// `floor(a * b / d)` with a 256-bit product, saturating; `u128::MAX` for `d = 0`.
pub fn mul_div(a: u128, b: u128, d: u128) -> u128 {
	match a.checked_mul(b).and_then(|product| product.checked_div(d)) {
		Some(quotient) => quotient,
		None => Wide::product(a, b).div_rem(d.into()).0.saturated(),
	}
}

/// `floor(value * parts / 1_000_000)`.
pub fn of_ppm(value: u128, parts: u32) -> u128 {
	mul_div(value, parts as u128, crate::PPM as u128)
}

/// `floor(value * parts / 10_000)`.
pub fn of_bps(value: u128, parts: u16) -> u128 {
	mul_div(value, parts as u128, crate::BPS as u128)
}

/// `min(floor(part * 1_000_000 / whole), u32::MAX)`; zero for an empty whole.
pub fn ratio_ppm(part: u128, whole: u128) -> u32 {
	if whole == 0 {
		return 0;
	}
	u32::try_from(mul_div(part, crate::PPM as u128, whole)).unwrap_or(u32::MAX)
}

/// Sum that saturates at `u128::MAX`: for reports, never for decisions.
pub fn total(values: &[u128]) -> u128 {
	values.iter().fold(0, |sum: u128, value| sum.saturating_add(*value))
}

/// One step of an exponential moving average with factor `1 / span`.
///
/// The step is rounded away from `previous`, so that a constant sample is reached exactly instead of being approached
/// for ever, and the average never leaves the range of its samples. A span of zero counts as one.
pub fn smooth(previous: u128, sample: u128, span: u32) -> u128 {
	let step = sample.abs_diff(previous).div_ceil(span.max(1) as u128);
	if sample > previous {
		previous.saturating_add(step)
	} else {
		previous.saturating_sub(step)
	}
}
