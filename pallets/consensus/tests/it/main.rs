//! Examples computed by hand, properties over random inputs, and the vectors shared with Python.

mod accuracy;
mod arith;
mod assignment;
mod commit;
mod emission;
mod median;
mod merkle;
mod review;
mod scarcity;
mod seed;
mod slash;
mod split;
mod units;
mod vectors;

use proptest::prelude::*;

/// Any `u128`, with small, middling and extreme ones equally likely.
fn amount() -> impl Strategy<Value = u128> {
	(any::<u128>(), 0_u32..=128).prop_map(|(value, shift)| value.checked_shr(shift).unwrap_or(0))
}

/// The same list in another order.
fn shuffled<T: Clone + core::fmt::Debug>(list: Vec<T>) -> impl Strategy<Value = (Vec<T>, Vec<T>)> {
	(Just(list.clone()), Just(list).prop_shuffle())
}
