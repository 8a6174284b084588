"""A provider's side of the swarm: its node, its record, its answers to pings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from hivemind.p2p import P2P
from hivemind.utils import get_dht_time

from compute.identity import NodeKey
from compute.models.manifest import Manifest
from compute.models.span import LoadedSpan
from compute.runner.engine import EngineStats
from compute.runner.selftest import SpanRates
from compute.server.options import ProviderOptions, ProviderState
from compute.server.serving_terms import agent, kernel_class
from compute.swarm.directory import Directory
from compute.swarm.network import NetworkOptions, SwarmNetwork
from compute.swarm.pinger import PeerLoad, PeerzInfo
from compute.swarm.records import TTL_S, PeerState, ProviderRecord, seal_record
from compute.types import Codec, Span
from compute.wire.codecs import WIRE_DTYPES

# How records call the states that others can see; the rest of a provider's life is nobody's business.
_STATES = {
    ProviderState.STARTING: PeerState.JOINING,
    ProviderState.ONLINE: PeerState.ONLINE,
    ProviderState.MOVING: PeerState.JOINING,
    ProviderState.LEAVING: PeerState.LEAVING,
}


@dataclass(frozen=True, slots=True)
class Load:
    """What changes while a provider serves."""

    stats: EngineStats
    sessions: int

    @property
    def cache_bytes_free(self) -> int:
        return max(0, self.stats.cache_bytes_budget - self.stats.cache_bytes_used)


@dataclass(frozen=True, slots=True)
class Claim:
    """A span of a model, claimed by a provider that may not have loaded it yet."""

    model_name: str
    manifest: Manifest
    span: Span
    loaded: LoadedSpan | None = None
    rates: SpanRates | None = None


class SwarmLink:
    """One node of the swarm that publishes for one key."""

    def __init__(self, network: SwarmNetwork, key: NodeKey) -> None:
        self._network = network
        self._directory = Directory(network)
        self._key = key
        self._sealed = b""

    @classmethod
    async def join(cls, options: ProviderOptions, key: NodeKey) -> SwarmLink:
        """Raises PeerUnreachable, AddressInUse."""
        wanted = NetworkOptions(
            key=key,
            listen=options.listen,
            initial_peers=options.initial_peers,
            client_mode=False,
            network_id=options.network_id,
        )
        return cls(await SwarmNetwork.create(wanted), key)

    @property
    def public_key(self) -> bytes:
        return self._key.public_key

    @property
    def p2p(self) -> P2P:
        return self._network.p2p

    @property
    def addresses(self) -> tuple[str, ...]:
        """Full multiaddrs, to give to others."""
        return self._network.addresses

    async def records(self, model_root: bytes) -> tuple[ProviderRecord, ...]:
        """Who serves the model now."""
        return await self._directory.fetch(model_root)

    async def publish(self, record: ProviderRecord) -> None:
        self._sealed = seal_record(record, self._key)
        await self._directory.publish(record, self._key)

    async def withdraw(self, record: ProviderRecord) -> None:
        """Tells those who hold the record that its owner is gone."""
        await self._directory.withdraw(record, self._key)

    async def answer_pings(self, load: Callable[[], Load | None]) -> None:
        """From now on every ping is answered with the load of that moment and the record published last."""

        def answer() -> PeerLoad:
            now = load()
            if now is None:
                return PeerLoad(self._sealed, 0, 0, 0)
            return PeerLoad(self._sealed, now.stats.queued_tokens, now.cache_bytes_free, now.sessions)

        await PeerzInfo(answer).add_p2p_handlers(self._network.p2p)

    async def close(self) -> None:
        await self._network.close()


def record_of(
    options: ProviderOptions, link: SwarmLink, state: ProviderState, claim: Claim, load: Load | None
) -> ProviderRecord:
    """The record to publish now. A span that is claimed and not loaded yet has no rates and no room."""
    loaded, rates = claim.loaded, claim.rates
    return ProviderRecord(
        public_key=link.public_key,
        network_id=options.network_id,
        model_root=claim.manifest.root,
        model_name=claim.model_name,
        span=claim.span,
        n_blocks=claim.manifest.n_blocks,
        state=_STATES[state],
        addresses=link.addresses,
        quant_spec=loaded.quant_spec if loaded else "",
        numeric_profile=loaded.numeric_profile if loaded else "",
        kernel_class=kernel_class(loaded.device) if loaded else "",
        codecs=tuple(Codec),
        dtype=WIRE_DTYPES[loaded.dtype if loaded else torch.float32],
        decode_us=rates.decode_us if rates else 0,
        prefill_tokens_s=rates.prefill_tokens_s if rates else 0,
        queue_us=round(load.stats.queue_s * 1e6) if load else 0,
        cache_bytes_free=load.cache_bytes_free if load else 0,
        cache_bytes_per_token=loaded.kv_bytes_per_token if loaded else 0,
        sessions=load.sessions if load else 0,
        agent=agent(),
        expires_at_ms=round((get_dht_time() + TTL_S) * 1000),
    )
