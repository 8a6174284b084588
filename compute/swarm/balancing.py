"""Which blocks a new provider should take: those that raise the swarm's bottleneck most. Pure.

A pipeline is as fast as its slowest block. A provider that spreads over more blocks is slower on each, so length is
part of the choice: every span up to the provider's limit is tried, and judged by what the slowest block of the whole
model could then do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from compute.swarm.records import PeerState, ProviderRecord
from compute.types import Span

_DEFAULT_BLOCK_RATE = 1000.0


def block_rates(records: Sequence[ProviderRecord], n_blocks: int) -> npt.NDArray[np.float64]:
    """Tokens per second that providers which serve, or are about to, can push through each block."""
    rates = np.zeros(n_blocks)
    for record in records:
        if record.state is not PeerState.LEAVING:
            rate = 1e6 / record.decode_us if record.decode_us else _DEFAULT_BLOCK_RATE / len(record.span)
            rates[record.span.start : record.span.end] += rate
    return rates


def choose_span(records: Sequence[ProviderRecord], n_blocks: int, blocks_max: int, block_rate: float) -> Span:
    """The span of at most `blocks_max` blocks that leaves the swarm's slowest block fastest.

    `block_rate`: tokens per second of one block on this provider; a span of n blocks then does `block_rate / n`. Among
    spans that leave the same slowest rate, the one that leaves the fewest blocks at it, then the one over the weakest
    blocks, then the longest, then the first. Takes a few milliseconds for a hundred blocks.
    """
    longest = min(blocks_max, n_blocks)
    if longest < 1:
        raise ValueError("a provider serves at least one block")
    rates = block_rates(records, n_blocks)
    best: tuple[tuple[float, float, float, int, int], Span] | None = None
    for length in range(1, longest + 1):
        for start in range(n_blocks - length + 1):
            after = rates.copy()
            after[start : start + length] += block_rate / length
            slowest = float(after.min())
            at_slowest = float((after <= slowest * 1.001).sum())
            weakest = float(rates[start : start + length].mean())
            key = (slowest, -at_slowest, -weakest, length, -start)
            if best is None or key > best[0]:
                best = (key, Span(start, start + length))
    assert best is not None
    return best[1]
