"""Reads the swarm for `status`: records out of the DHT, round trips by ping, the route by the client's own planner."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from compute.errors import NoRoute, PeerUnreachable
from compute.models.manifest import load_or_build_manifest
from compute.models.sources import resolve
from compute.swarm.directory import Directory
from compute.swarm.network import NetworkOptions, SwarmNetwork
from compute.swarm.pinger import Pinger
from compute.swarm.records import ProviderRecord
from compute.swarm.routing import Hop, RouteRequest, plan_route
from compute.types import PeerId, Span
from peerz_node.overview import HopView, ModelView, ProviderView
from peerz_node.settings import Settings


async def read_swarm(settings: Settings, *, with_route: bool) -> list[ModelView]:
    """One view per model, by name; of `settings.model` alone if that is set. Raises PeerUnreachable."""
    root = None
    if settings.model is not None:
        root = load_or_build_manifest(resolve(settings.model).directory).root
    network = await SwarmNetwork.create(NetworkOptions(initial_peers=settings.peer, client_mode=True))
    try:
        directory = Directory(network)
        records = await directory.models() if root is None else await directory.fetch(root)
        rtt_s = await _round_trips(network, records)
    finally:
        await network.close()
    return [model_view(group, rtt_s, with_route=with_route) for group in by_model(records)]


async def _round_trips(network: SwarmNetwork, records: Sequence[ProviderRecord]) -> Mapping[PeerId, float]:
    """Seconds to each provider and back. Asked twice, since the first time also pays for the connection."""
    pinger = Pinger(network.p2p)

    async def reach(record: ProviderRecord) -> None:
        with contextlib.suppress(PeerUnreachable):
            await network.connect(record.peer_id, record.addresses)

    await asyncio.gather(*(reach(record) for record in records))
    peers = [record.peer_id for record in records]
    await pinger.ping_all(peers)
    pinger.rtt_s.clear()
    await pinger.ping_all(peers)
    return pinger.rtt_s


def by_model(records: Sequence[ProviderRecord]) -> list[list[ProviderRecord]]:
    """Records of one model together, models by name."""
    groups: defaultdict[tuple[str, bytes], list[ProviderRecord]] = defaultdict(list)
    for record in records:
        groups[record.model_name, record.model_root].append(record)
    return [groups[key] for key in sorted(groups)]


def model_view(records: Sequence[ProviderRecord], rtt_s: Mapping[PeerId, float], *, with_route: bool) -> ModelView:
    """The view of one model out of its records, of which there is at least one."""
    first = records[0]
    route: tuple[HopView, ...] | None = None
    route_ms: float | None = None
    if with_route:
        try:
            planned = plan_route(RouteRequest(within=Span(0, first.n_blocks)), records, rtt_s)
        except NoRoute:
            route = ()
        else:
            route, route_ms = tuple(hop_view(hop) for hop in planned.hops), planned.token_s * 1000
    return ModelView(
        name=first.model_name,
        root=first.model_root.hex(),
        n_blocks=first.n_blocks,
        providers=tuple(provider_view(record, rtt_s.get(record.peer_id)) for record in records),
        route=route,
        route_ms=route_ms,
    )


def hop_view(hop: Hop) -> HopView:
    cost = hop.cost
    parts_s = {"round trip": cost.rtt_s, "queue": cost.queue_s, "compute": cost.compute_s}
    return HopView(hop.peer, hop.span, {name: seconds * 1000 for name, seconds in parts_s.items()})


def provider_view(record: ProviderRecord, rtt_s: float | None) -> ProviderView:
    return ProviderView(
        peer_id=record.peer_id,
        span=record.span,
        state=record.state.name.lower(),
        precision=record.quant_spec,
        decode_ms=record.decode_us / 1000,
        prefill_tokens_s=record.prefill_tokens_s,
        queue_ms=record.queue_us / 1000,
        sessions=record.sessions,
        cache_bytes_free=record.cache_bytes_free,
        rtt_ms=None if rtt_s is None else rtt_s * 1000,
        addresses=record.addresses,
    )
