from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.identity import NO_CHAIN, NodeKey
from compute.swarm.balancing import block_rates, choose_span
from compute.swarm.records import PeerState, ProviderRecord
from compute.types import Span

KEY = NodeKey(b"b" * 32)


def provider(
    span: Span, n_blocks: int, block_rate: float = 1000.0, state: PeerState = PeerState.ONLINE
) -> ProviderRecord:
    return ProviderRecord(
        public_key=KEY.public_key,
        network_id=NO_CHAIN,
        model_root=b"r" * 32,
        model_name="tiny",
        span=span,
        n_blocks=n_blocks,
        state=state,
        expires_at_ms=1,
        decode_us=round(1e6 * len(span) / block_rate),
    )


def test_the_first_provider_takes_everything_it_can() -> None:
    assert choose_span([], 30, 30, 1000.0) == Span(0, 30)
    assert choose_span([], 30, 10, 1000.0) == Span(0, 10)


def test_the_second_takes_just_what_is_missing() -> None:
    assert choose_span([provider(Span(0, 15), 30)], 30, 30, 1000.0) == Span(15, 30)
    assert choose_span([provider(Span(10, 20), 30)], 30, 10, 1000.0) in (Span(0, 10), Span(20, 30))


def test_a_provider_that_leaves_does_not_count_and_one_that_joins_does() -> None:
    leaving = provider(Span(0, 15), 30, state=PeerState.LEAVING)
    joining = provider(Span(0, 15), 30, state=PeerState.JOINING)
    assert choose_span([leaving], 30, 15, 1000.0) == Span(0, 15)
    assert choose_span([joining], 30, 15, 1000.0) == Span(15, 30)


def test_no_room_for_a_block_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="at least one block"):
        choose_span([], 30, 0, 1000.0)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10), st.floats(50, 5000)), max_size=5),
    st.integers(1, 10),
    st.floats(50, 5000),
)
def test_no_other_span_would_leave_a_faster_bottleneck(
    others: list[tuple[int, int, float]], blocks_max: int, rate: float
) -> None:
    records = [provider(Span(start, min(10, start + n)), 10, r) for start, n, r in others]
    rates = block_rates(records, 10)

    def slowest_with(span: Span) -> float:
        after = rates.copy()
        after[span.start : span.end] += rate / len(span)
        return float(after.min())

    chosen = choose_span(records, 10, blocks_max, rate)
    assert len(chosen) <= blocks_max
    spans = [Span(s, s + n) for n in range(1, blocks_max + 1) for s in range(10 - n + 1)]
    assert slowest_with(chosen) == pytest.approx(max(slowest_with(span) for span in spans))


def test_providers_that_come_one_by_one_end_near_the_best_bottleneck() -> None:
    """200 providers of very different speed and memory, each choosing alone, on 32 blocks."""
    n_blocks, rng = 32, random.Random(7)
    records: list[ProviderRecord] = []
    for _ in range(200):
        rate, blocks_max = rng.uniform(200, 4000), rng.randint(1, n_blocks)
        records.append(provider(choose_span(records, n_blocks, blocks_max, rate), n_blocks, rate))
    rates = block_rates(records, n_blocks)
    ideal = float(np.sum(rates)) / n_blocks  # if the same work were spread evenly
    assert rates.min() > 0.8 * ideal
