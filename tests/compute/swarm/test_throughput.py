from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import NoRoute
from compute.identity import NO_CHAIN, NodeKey
from compute.swarm.records import PeerState, ProviderRecord
from compute.swarm.routing import missing_blocks
from compute.swarm.throughput import Chain, ThroughputRequest, plan_throughput, split_rows
from compute.types import Codec, PeerId, Span

N_BLOCKS = 8
ALL = Span(0, N_BLOCKS)
KEYS = [NodeKey(bytes([n]) * 32) for n in range(1, 9)]


def provider(number: int, span: Span, tokens_s: int = 1000, **changes: Any) -> ProviderRecord:
    fields: dict[str, Any] = {
        "public_key": KEYS[number].public_key,
        "network_id": NO_CHAIN,
        "model_root": b"r" * 32,
        "model_name": "tiny",
        "span": span,
        "n_blocks": N_BLOCKS,
        "state": PeerState.ONLINE,
        "expires_at_ms": 1,
        "prefill_tokens_s": tokens_s,
        **changes,
    }
    return ProviderRecord(**fields)


spans = st.tuples(st.integers(0, N_BLOCKS - 1), st.integers(1, N_BLOCKS)).map(
    lambda pair: Span(pair[0], min(N_BLOCKS, pair[0] + pair[1]))
)
swarms = st.lists(st.tuples(spans, st.integers(1, 5000)), max_size=8).map(
    lambda entries: [provider(n, span, tokens_s) for n, (span, tokens_s) in enumerate(entries)]
)


def busy(chains: tuple[Chain, ...]) -> dict[PeerId, float]:
    """Part of every provider's time that the chains take together."""
    taken: dict[PeerId, float] = defaultdict(float)
    for chain in chains:
        for hop in chain.hops:
            taken[hop.peer] += chain.tokens_s * len(hop.span) / len(hop.record.span) / hop.record.prefill_tokens_s
    return taken


@given(swarms, st.integers(1, 40), st.integers(1, 8))
def test_every_row_goes_through_every_block_and_no_provider_is_promised_twice(
    records: list[ProviderRecord], rows: int, chains_max: int
) -> None:
    request = ThroughputRequest(ALL, rows=rows, chains_max=chains_max)
    if missing := missing_blocks(records, ALL):
        with pytest.raises(NoRoute) as caught:
            plan_throughput(request, records, {})
        assert caught.value.missing == missing
        return
    chains = plan_throughput(request, records, {})
    assert sum(chain.rows for chain in chains) == rows
    assert all(chain.rows > 0 and chain.tokens_s > 0 for chain in chains)
    assert len(chains) <= chains_max
    for chain in chains:
        assert [hop.span.start for hop in chain.hops] == [0, *(hop.span.end for hop in chain.hops[:-1])]
        assert chain.hops[-1].span.end == N_BLOCKS
    assert all(part <= 1 + 1e-6 for part in busy(chains).values())
    # Nobody can push more through a block than its providers could if they served nothing else.
    flow = sum(chain.tokens_s for chain in chains)
    for block in range(N_BLOCKS):
        able = sum(r.prefill_tokens_s * len(r.span) for r in records if block in r.span)
        assert flow <= able * (1 + 1e-6)


def test_replicas_share_the_rows_by_their_speed() -> None:
    records = [provider(0, ALL, 3000), provider(1, ALL, 1000)]
    chains = plan_throughput(ThroughputRequest(ALL, rows=8), records, {})
    assert [(chain.hops[0].peer, chain.rows) for chain in chains] == [(records[0].peer_id, 6), (records[1].peer_id, 2)]


def test_a_slow_half_is_shared_by_chains_over_a_fast_one() -> None:
    head = provider(0, Span(0, 4), 2000)
    tails = [provider(1, Span(4, 8), 1000), provider(2, Span(4, 8), 1000)]
    chains = plan_throughput(ThroughputRequest(ALL, rows=10), [head, *tails], {})
    assert [chain.rows for chain in chains] == [5, 5]
    assert {chain.hops[0].peer for chain in chains} == {head.peer_id}
    assert {chain.hops[1].peer for chain in chains} == {tail.peer_id for tail in tails}


def test_a_chain_does_not_change_hops_at_every_block() -> None:
    records = [provider(n, ALL, 1000) for n in range(8)]
    assert all(len(chain.hops) == 1 for chain in plan_throughput(ThroughputRequest(ALL, rows=8), records, {}))


def test_requirements_and_exclusions_hold() -> None:
    records = [provider(0, ALL, quant_spec="int8"), provider(1, ALL, state=PeerState.LEAVING), provider(2, ALL)]
    chains = plan_throughput(ThroughputRequest(ALL, rows=4, quant_spec="int8"), records, {})
    assert [chain.hops[0].peer for chain in chains] == [records[0].peer_id]
    for unmet in ({"codec": Codec.BLOCK8}, {"excluded": {records[0].peer_id, records[2].peer_id}}):
        with pytest.raises(NoRoute):
            plan_throughput(ThroughputRequest(ALL, rows=4, **unmet), records, {})


def test_a_batch_without_rows_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        plan_throughput(ThroughputRequest(ALL, rows=0), [provider(0, ALL)], {})


@given(st.integers(0, 1000), st.lists(st.floats(0.001, 1e6), min_size=1, max_size=10))
def test_rows_are_split_exactly_and_fairly(rows: int, capacities: list[float]) -> None:
    parts = split_rows(rows, capacities)
    assert sum(parts) == rows
    assert all(
        abs(part - rows * capacity / sum(capacities)) < 1 + 1e-6
        for part, capacity in zip(parts, capacities, strict=True)
    )
