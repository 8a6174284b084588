"""Reads the swarm for `status`: records out of the DHT, round trips by ping, the route by the client's own planner."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from compute.errors import LinkLost, NoRoute, PeerUnreachable, UnknownModel
from compute.identity import NodeKey
from compute.models.manifest import load_or_build_manifest
from compute.models.sources import local_files
from compute.swarm.directory import Directory
from compute.swarm.network import NetworkOptions, SwarmNetwork
from compute.swarm.pinger import Pinger
from compute.swarm.records import PeerState, ProviderRecord
from compute.swarm.routing import RouteRequest, coverage, explain, missing_blocks, plan_route
from compute.types import PeerId, Span
from peerz_node.overview import ModelView, ProviderView
from peerz_node.settings import Settings

AT_ONCE = 16
"""Providers that are connected to and pinged side by side: hundreds at once would measure our own queue."""

PATIENCE_S = 20.0
"""For all round trips together; whoever was not reached by then is shown without one."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model is, whoever says so: the files of this machine, or else the records that name it."""

    name: str
    root: bytes
    n_blocks: int


async def read_swarm(settings: Settings, key: NodeKey | None, *, with_route: bool) -> list[ModelView]:
    """One view per model, by name; of `settings.model` alone if that is set.

    A model whose files are here has a view even if nobody serves it. Raises PeerUnreachable, and UnknownModel for a
    model that is neither here nor in the swarm.
    """
    asked = None if settings.model is None else facts_here(settings.model)
    network = await SwarmNetwork.create(NetworkOptions(key=key, initial_peers=settings.peer, client_mode=True))
    try:
        directory = Directory(network)
        records = () if asked is None else await directory.fetch(asked.root)
        if not records:  # no model was named, or none of its providers has our files: look who there is
            records = await directory.models()
        groups = chosen(grouped(records), settings.model, asked)
        rtt_s = await _round_trips(network, [record for _, group in groups for record in group])
    finally:
        await network.close()
    return [model_view(facts, group, rtt_s, with_route=with_route) for facts, group in groups]


def facts_here(name: str) -> ModelFacts | None:
    """What the files of this machine say; None where there are none. Nothing is fetched for a look at the swarm."""
    files = local_files(name)
    if files is None:
        return None
    manifest = load_or_build_manifest(files.directory)
    return ModelFacts(name, manifest.root, manifest.n_blocks)


T = TypeVar("T", str, int)
Group = tuple[ModelFacts, list[ProviderRecord]]


def grouped(records: Sequence[ProviderRecord]) -> list[Group]:
    """Records of one model (one manifest root) together, models by name.

    A record may say anything of its model: name and number of blocks are what most records of the group say, and
    records with another number of blocks are left out, as clients do.
    """
    by_root: defaultdict[bytes, list[ProviderRecord]] = defaultdict(list)
    for record in records:
        by_root[record.model_root].append(record)
    groups = []
    for root, members in by_root.items():
        name = _most_common([record.model_name for record in members])
        n_blocks = _most_common([record.n_blocks for record in members])
        groups.append((ModelFacts(name, root, n_blocks), _of_size(members, n_blocks)))
    return sorted(groups, key=lambda group: (group[0].name, group[0].root))


def chosen(groups: Sequence[Group], name: str | None, here: ModelFacts | None) -> list[Group]:
    """Those of `groups` that were asked for, the model whose files are here first: it is in any case.

    Raises UnknownModel when there is nothing of that name.
    """
    if name is None:
        return list(groups)
    others = [group for group in groups if group[0].name == name and (here is None or group[0].root != here.root)]
    if here is not None:
        members = [record for facts, group in groups if facts.root == here.root for record in group]
        return [(here, _of_size(members, here.n_blocks)), *others]
    if not others:
        served = ", ".join(sorted({facts.name for facts, _ in groups})) or "nothing"
        raise UnknownModel(f"{name!r} is not on this machine, and nobody serves it; this swarm serves {served}")
    return others


def _of_size(records: Sequence[ProviderRecord], n_blocks: int) -> list[ProviderRecord]:
    return [record for record in records if record.n_blocks == n_blocks]


def _most_common(values: Sequence[T]) -> T:
    return max(sorted(set(values)), key=Counter(values).__getitem__)


async def _round_trips(network: SwarmNetwork, records: Sequence[ProviderRecord]) -> Mapping[PeerId, float]:
    return await round_trips(records, network.connect, Pinger(network.p2p).ping)


async def round_trips(
    records: Sequence[ProviderRecord],
    connect: Callable[[PeerId, tuple[str, ...]], Awaitable[None]],
    ping: Callable[[PeerId], Awaitable[float]],
    patience_s: float = PATIENCE_S,
) -> Mapping[PeerId, float]:
    """Seconds to each provider that answers and back, `AT_ONCE` asked side by side, within `patience_s` in all."""
    limit = asyncio.Semaphore(AT_ONCE)
    rtt_s: dict[PeerId, float] = {}

    async def measure(record: ProviderRecord) -> None:
        async with limit:
            with contextlib.suppress(PeerUnreachable, LinkLost):
                await connect(record.peer_id, record.addresses)
                await ping(record.peer_id)  # the first also pays for the stream's set-up
                rtt_s[record.peer_id] = await ping(record.peer_id)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            await asyncio.gather(*(measure(record) for record in records))
    return rtt_s


def model_view(
    facts: ModelFacts, records: Sequence[ProviderRecord], rtt_s: Mapping[PeerId, float], *, with_route: bool
) -> ModelView:
    """The view of one model out of its records."""
    whole = Span(0, facts.n_blocks)
    view = ModelView(
        name=facts.name,
        root=facts.root.hex(),
        n_blocks=facts.n_blocks,
        providers=tuple(provider_view(record, rtt_s.get(record.peer_id)) for record in records),
        replicas=coverage(records, facts.n_blocks),
        missing=missing_blocks([record for record in records if record.state is PeerState.ONLINE], whole),
    )
    if not with_route:
        return view
    try:
        route = plan_route(RouteRequest(within=whole), records, rtt_s)
    except NoRoute:
        return replace(view, route=())
    return replace(view, route=explain(route), route_ms=route.token_s * 1000)


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
