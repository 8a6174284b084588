//! One behaviour per test. Every test ends with the check of all invariants.

mod attacks;
mod attestations;
mod bindings;
mod bonds;
mod disputes;
mod epochs;
mod governance;
mod manual;
mod random;
mod registry;
mod rewards;
mod vectors;
mod votes;
