from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.errors import NoRoute
from compute.identity import NO_CHAIN, NodeKey
from compute.swarm.paths import boundaries
from compute.swarm.records import PeerState, ProviderRecord
from compute.swarm.routing import (
    _SPREAD,
    Hop,
    RouteRequest,
    _hop,
    _is_usable,
    _unit_hash,
    coverage,
    explain,
    missing_blocks,
    plan_route,
)
from compute.types import Codec, PeerId, Span

N_BLOCKS = 8
KEYS = [NodeKey(bytes([n]) * 32) for n in range(1, 9)]
ALL = Span(0, N_BLOCKS)


def provider(number: int, span: Span, **changes: Any) -> ProviderRecord:
    fields: dict[str, Any] = {
        "public_key": KEYS[number].public_key,
        "network_id": NO_CHAIN,
        "model_root": b"r" * 32,
        "model_name": "tiny",
        "span": span,
        "n_blocks": N_BLOCKS,
        "state": PeerState.ONLINE,
        "expires_at_ms": 1,
        "decode_us": 1000 * len(span),
        "prefill_tokens_s": 1000,
        "cache_bytes_free": 1 << 30,
        **changes,
    }
    return ProviderRecord(**fields)


spans = st.tuples(st.integers(0, N_BLOCKS - 1), st.integers(1, N_BLOCKS)).map(
    lambda pair: Span(pair[0], min(N_BLOCKS, pair[0] + pair[1]))
)
swarms = st.lists(
    st.tuples(spans, st.integers(100, 30_000), st.integers(0, 20_000), st.sampled_from([1 << 30, 20_000, 0])),
    max_size=6,
).map(
    lambda entries: [
        provider(n, span, decode_us=us, queue_us=q, cache_bytes_free=free, cache_bytes_per_token=400)
        for n, (span, us, q, free) in enumerate(entries)
    ]
)


def _weight(hop: Hop, request: RouteRequest) -> float:
    """What the hop costs a whole generation, by the definition; equal providers differ by the client's liking."""
    plain = request.new_tokens * hop.cost.token_s + hop.cost.prefill_s + hop.cost.cache_short_s
    return plain * (1 + _SPREAD * _unit_hash(request.seed, hop.peer))


def naive_best(request: RouteRequest, records: Sequence[ProviderRecord], rtt_s: dict[PeerId, float]) -> float | None:
    """Least cost over every way to tile the blocks with hops."""
    usable = [record for record in records if _is_usable(record, request)]
    points = boundaries([record.span for record in usable], request.within)
    best: float | None = None
    for n_inner in range(len(points) - 1):
        for inner in itertools.combinations(points[1:-1], n_inner):
            cuts = [request.within.start, *inner, request.within.end]
            total = 0.0
            for start, end in itertools.pairwise(cuts):
                span = Span(start, end)
                costs = [_weight(_hop(r, span, request, rtt_s), request) for r in usable if r.span.covers(span)]
                if not costs:
                    break
                total += min(costs)
            else:
                best = total if best is None else min(best, total)
    return best


@settings(max_examples=150)
@given(swarms, st.lists(st.floats(0.0001, 0.2), min_size=6, max_size=6))
def test_the_planned_route_is_the_best_of_all_tilings(records: list[ProviderRecord], rtts: list[float]) -> None:
    rtt_s = {record.peer_id: rtt for record, rtt in zip(records, rtts, strict=False)}
    request = RouteRequest(ALL, prompt_tokens=50)
    best = naive_best(request, records, rtt_s)
    if best is None:
        with pytest.raises(NoRoute):
            plan_route(request, records, rtt_s)
        return
    route = plan_route(request, records, rtt_s)
    assert _tiles(route.hops, ALL)
    assert sum(_weight(hop, request) for hop in route.hops) == pytest.approx(best)


@given(swarms, st.randoms(use_true_random=False))
def test_the_route_does_not_depend_on_the_order_of_the_records(records: list[ProviderRecord], rng: Any) -> None:
    shuffled = rng.sample(records, len(records))
    if missing_blocks(records, ALL):
        return
    assert plan_route(RouteRequest(ALL), records, {}) == plan_route(RouteRequest(ALL), shuffled, {})


@given(swarms, spans)
def test_a_part_of_the_model_is_planned_for_that_part_only(records: list[ProviderRecord], within: Span) -> None:
    if missing_blocks(records, within):
        return
    assert _tiles(plan_route(RouteRequest(within), records, {}).hops, within)


def _tiles(hops: Sequence[Hop], within: Span) -> bool:
    ends = [within.start, *(hop.span.end for hop in hops)]
    return ends[-1] == within.end and all(hop.span.start == end for hop, end in zip(hops, ends, strict=False))


@given(swarms)
def test_a_missing_route_names_exactly_the_blocks_that_nobody_serves(records: list[ProviderRecord]) -> None:
    unserved = [block for block in range(N_BLOCKS) if not any(block in record.span for record in records)]
    runs = missing_blocks(records, ALL)
    assert [block for run in runs for block in range(run.start, run.end)] == unserved
    if unserved:
        with pytest.raises(NoRoute) as caught:
            plan_route(RouteRequest(ALL), records, {})
        assert caught.value.missing == runs


def test_an_excluded_peer_is_left_out_at_once() -> None:
    records = [provider(0, ALL), provider(1, ALL, decode_us=90_000)]
    assert plan_route(RouteRequest(ALL), records, {}).hops[0].peer == records[0].peer_id
    excluded = RouteRequest(ALL, excluded={records[0].peer_id})
    assert plan_route(excluded, records, {}).hops[0].peer == records[1].peer_id


def test_a_hop_may_use_part_of_what_its_provider_serves() -> None:
    records = [provider(0, Span(0, 6)), provider(1, Span(3, 8))]
    route = plan_route(RouteRequest(Span(4, 5)), records, {})
    assert [hop.span for hop in route.hops] == [Span(4, 5)]


@pytest.mark.parametrize("state", [PeerState.JOINING, PeerState.LEAVING])
def test_providers_that_are_not_online_are_not_used(state: PeerState) -> None:
    with pytest.raises(NoRoute):
        plan_route(RouteRequest(ALL), [provider(0, ALL, state=state)], {})


def test_codec_and_precision_are_requirements() -> None:
    records = [provider(0, ALL, quant_spec="int8", codecs=(Codec.RAW,))]
    assert plan_route(RouteRequest(ALL, quant_spec="int8"), records, {}).hops
    with pytest.raises(NoRoute, match="another precision"):
        plan_route(RouteRequest(ALL, quant_spec="fp32"), records, {})
    with pytest.raises(NoRoute):
        plan_route(RouteRequest(ALL, codec=Codec.BLOCK8), records, {})


def test_near_peers_win_for_many_tokens_and_fast_prefill_for_long_prompts() -> None:
    near = provider(0, ALL, prefill_tokens_s=10)
    far = provider(1, ALL, prefill_tokens_s=10_000)
    rtt_s = {near.peer_id: 0.001, far.peer_id: 0.05}
    chat = RouteRequest(ALL, prompt_tokens=10, new_tokens=1000)
    digest = RouteRequest(ALL, prompt_tokens=5000, new_tokens=1)
    assert plan_route(chat, [near, far], rtt_s).hops[0].peer == near.peer_id
    assert plan_route(digest, [near, far], rtt_s).hops[0].peer == far.peer_id


def test_a_provider_without_cache_for_the_session_is_the_last_choice() -> None:
    full = provider(0, ALL, cache_bytes_free=10, cache_bytes_per_token=100)
    roomy = provider(1, ALL, decode_us=60_000)
    assert plan_route(RouteRequest(ALL), [full, roomy], {}).hops[0].peer == roomy.peer_id


def test_clients_spread_over_equal_replicas() -> None:
    replicas = [provider(n, ALL) for n in range(4)]
    chosen = [plan_route(RouteRequest(ALL, seed=bytes([n])), replicas, {}).hops[0].peer for n in range(200)]
    assert all(chosen.count(record.peer_id) > 20 for record in replicas)
    assert chosen[0] == plan_route(RouteRequest(ALL, seed=bytes([0])), replicas, {}).hops[0].peer


def test_coverage_counts_providers_that_serve_now() -> None:
    records = [provider(0, Span(0, 3)), provider(1, Span(2, 5)), provider(2, ALL, state=PeerState.LEAVING)]
    assert coverage(records, N_BLOCKS) == (1, 1, 2, 1, 1, 0, 0, 0)


def test_a_route_is_explained_hop_by_hop() -> None:
    head = provider(0, Span(0, 6), decode_us=12_000, queue_us=3000)
    tail = provider(1, Span(4, 8), decode_us=0)
    route = plan_route(RouteRequest(ALL, prompt_tokens=100), [head, tail], {head.peer_id: 0.002})
    first, last = explain(route)
    assert (first.peer, last.peer) == (head.peer_id, tail.peer_id)
    assert (first.rtt_ms, first.queue_ms) == pytest.approx((2.0, 3.0))
    assert first.compute_ms == pytest.approx(12.0 * len(first.span) / 6)
    assert {"round trip assumed", "step time assumed"} <= set(last.notes)
    assert first.token_ms + last.token_ms == pytest.approx(route.token_s * 1000)
    assert first.prefill_ms + last.prefill_ms == pytest.approx(route.prefill_s * 1000)


def test_a_route_over_thousands_of_providers_is_planned_at_once() -> None:
    records = [
        provider(0, Span(n % 70, min(80, n % 70 + 12)), n_blocks=80, public_key=n.to_bytes(32), decode_us=5000 + n)
        for n in range(3000)
    ]
    route = plan_route(RouteRequest(Span(0, 80)), records, {})
    assert _tiles(route.hops, Span(0, 80))
    assert len(route.hops) == 7
