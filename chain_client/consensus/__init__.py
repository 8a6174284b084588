"""The mathematics of the chain's consensus, as the Rust crate `pallets/consensus` has it, in plain integers.

One module per module of the crate, the same functions with the same names and results: also where the crate saturates
at 128 bits. `tests/vectors/consensus.json` is replayed by both. Clients use it to show what a vote, an epoch or a claim
will give before it is on chain; a chain's own answer is always the one that counts.
"""

from typing import Final

PPM: Final = 1_000_000
"""One, in parts per million: role weights, multipliers and scores."""
BPS: Final = 10_000
"""One, in basis points: votes and parameters set by people."""
