//! What attackers earn: whole epochs with the crate's own functions, printed as Markdown.
//!
//! `cargo run --release -p peerz-consensus --example simulate [EPOCHS] [PROVIDERS]` (1,000 and 10,000 if not given).
//! The same arguments print the same numbers on every machine.

mod attesting;
mod draws;
mod seeds;
mod supply;

fn main() {
	let mut arguments = std::env::args()
		.skip(1)
		.map(|argument| argument.parse().expect("a number"));
	let epochs: u32 = arguments.next().unwrap_or(1_000);
	let providers: u32 = arguments.next().unwrap_or(10_000);
	println!("{epochs} epochs, {providers} providers; compute 60 %, validators 20 % of each pool.\n");
	attesting::print(epochs, providers);
	supply::print(epochs, providers);
	seeds::print();
}

/// A share in per cent with one digit.
fn percent(part: u128, whole: u128) -> String {
	let permille = peerz_consensus::arith::mul_div(part, 1_000, whole.max(1));
	format!("{}.{} %", permille / 10, permille % 10)
}

/// A ratio with two digits.
fn times(part: u128, whole: u128) -> String {
	let hundredths = peerz_consensus::arith::mul_div(part, 100, whole.max(1));
	format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
