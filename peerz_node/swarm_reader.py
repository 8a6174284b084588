"""Reads the swarm for `status`: records out of the DHT, round trips by ping, the route by the client's own planner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from compute.swarm.directory import Directory
from compute.swarm.network import NetworkOptions, SwarmNetwork
from compute.swarm.records import ProviderRecord

from compute.identity import NO_CHAIN
from compute.models.manifest import load_or_build_manifest
from compute.models.sources import resolve
from compute.types import PeerId
from peerz_node.overview import ModelView, ProviderView
from peerz_node.settings import Settings


async def read_swarm(settings: Settings, *, with_route: bool) -> list[ModelView]:
    """One view per model, by name; of `settings.model` alone if that is set. Raises PeerUnreachable."""
    root = None
    if settings.model is not None:
        files = resolve(settings.model)
        root = load_or_build_manifest(files.directory).root
    options = NetworkOptions(key=None, listen=(), initial_peers=settings.peer, client_mode=True, network_id=NO_CHAIN)
    network = await SwarmNetwork.create(options)
    try:
        directory = Directory(network)
        records = await directory.models() if root is None else await directory.fetch(root)
        rtt_s = await _round_trips(network, records)
    finally:
        await network.close()
    return [model_view(group, rtt_s, with_route=with_route) for group in by_model(records)]


def by_model(records: Sequence[ProviderRecord]) -> list[list[ProviderRecord]]:
    """Records of one model together, models by name."""
    key = lambda record: (record.model_name, record.model_root)  # noqa: E731
    return [list(group) for _, group in groupby(sorted(records, key=key), key)]


def model_view(records: Sequence[ProviderRecord], rtt_s: Mapping[PeerId, float], *, with_route: bool) -> ModelView:
    """The view of one model out of its records, of which there is at least one."""
    first = records[0]
    route = _route(records, rtt_s) if with_route else None
    return ModelView(
        name=first.model_name,
        root=first.model_root.hex(),
        n_blocks=first.n_blocks,
        providers=tuple(provider_view(record, rtt_s.get(record.peer_id)) for record in records),
        route=None if not with_route else () if route is None else hop_views(route),
        route_ms=None if route is None else route.total_s * 1000,
    )


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
