"""The swarm as one client sees it for one model: records that are still good, round trips, streams to providers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hivemind.p2p.p2p_daemon_bindings.utils import ControlFailure, DispatchFailure, P2PDaemonError
from hivemind.utils import get_dht_time

from compute.client.contracts import ANY_PROFILE, HopTarget, Profile
from compute.client.stream import open_stream
from compute.errors import ComputeError, LinkLost
from compute.swarm.directory import Directory
from compute.swarm.network import SwarmNetwork
from compute.swarm.pinger import Pinger
from compute.swarm.records import ProviderRecord
from compute.swarm.routing import Hop, RouteRequest, plan_route
from compute.types import Codec, PeerId, Span
from compute.wire.frames import STREAM_PROTOCOL

logger = logging.getLogger(__name__)

_NEWS_TIMEOUT_S = 1.0
_PING_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """Which providers are looked at, and how often.

    Args:
        refresh_s: between two looks at the directory.
        codec: wanted on the wire; providers that do not know it are talked to in RAW.
        quant_spec, numeric_profile: that every provider must declare; "" for any.
        new_tokens: of a typical answer, for the weighing of round trips against prefill.
    """

    refresh_s: float = 5.0
    codec: Codec = Codec.RAW
    quant_spec: str = ""
    numeric_profile: str = ""
    new_tokens: int = 64


class SwarmView:
    """What sessions plan with (`compute.client.contracts.Swarm`), kept fresh by a task of its own."""

    def __init__(
        self, network: SwarmNetwork, model_root: bytes, n_blocks: int, options: ViewOptions, seed: bytes
    ) -> None:
        self._network = network
        self._directory = Directory(network)
        self._pinger = Pinger(network.p2p, timeout_s=_PING_TIMEOUT_S)
        self._model_root = model_root
        self._n_blocks = n_blocks
        self._options = options
        self._seed = seed
        self._records: dict[PeerId, ProviderRecord] = {}
        self._connected: set[PeerId] = set()
        self._looking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def records(self) -> tuple[ProviderRecord, ...]:
        """Providers whose records have not expired, by peer id."""
        now_s = get_dht_time()
        return tuple(record for _, record in sorted(self._records.items()) if now_s < record.expires_at_s)

    @property
    def rtt_s(self) -> Mapping[PeerId, float]:
        return self._pinger.rtt_s

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Returns when the directory was read and its providers were pinged once, or after a moment."""
        await self.refresh()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PING_TIMEOUT_S):
                await self._ping()
        self._spawn(self._keep_fresh(), "swarm-view")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def refresh(self) -> None:
        """Reads the directory now; whoever comes meanwhile shares the same look. Returns after a moment in any case."""
        if self._looking is None or self._looking.done():
            self._looking = self._spawn(self._look(), "swarm-look")
        await asyncio.wait({self._looking}, timeout=_NEWS_TIMEOUT_S)

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._options.refresh_s)
            await self.refresh()
            await self._ping()

    async def _look(self) -> None:
        try:
            found = await self._directory.fetch(self._model_root)
        except Exception as error:  # the DHT library raises whatever its transport raises
            logger.warning("the directory could not be read: %s", error)
            return
        for record in found:
            known = self._records.get(record.peer_id)
            if record.n_blocks == self._n_blocks and (known is None or known.expires_at_ms <= record.expires_at_ms):
                self._records[record.peer_id] = record
        self._records = {record.peer_id: record for record in self.records}

    async def _ping(self) -> None:
        try:
            await self._pinger.ping_all(record.peer_id for record in self.records)
        except (ComputeError, OSError) as error:
            logger.debug("pinging failed: %s", error)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ------------------------------------------------------------------ what sessions ask

    def plan(
        self, within: Span, avoided: Collection[PeerId], tokens: int, profile: Profile = ANY_PROFILE
    ) -> Sequence[HopTarget]:
        options = self._options
        request = RouteRequest(
            within=within,
            excluded=avoided,
            prompt_tokens=tokens,
            new_tokens=options.new_tokens,
            quant_spec=profile.quant_spec or options.quant_spec,
            numeric_profile=profile.numeric_profile or options.numeric_profile,
            seed=self._seed,
        )
        return [self._target(hop) for hop in plan_route(request, self.records, self.rtt_s).hops]

    def _target(self, hop: Hop) -> HopTarget:
        record = hop.record
        return HopTarget(
            peer=hop.peer,
            span=hop.span,
            provider_key=record.public_key,
            codec=self._options.codec if self._options.codec in record.codecs else Codec.RAW,
            dtype=record.dtype,
            rtt_s=self.rtt_s.get(hop.peer, hop.cost.rtt_s),
            profile=Profile(record.quant_spec, record.numeric_profile),
        )

    async def dial(self, peer: PeerId) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new stream to the session service of `peer`. Raises LinkLost."""
        try:
            if peer not in self._connected and (record := self._records.get(peer)) is not None:
                await self._network.connect(peer, record.addresses)
                self._connected.add(peer)
            return await open_stream(self._network.p2p, peer, STREAM_PROTOCOL)
        except (P2PDaemonError, ControlFailure, DispatchFailure, OSError, EOFError, ComputeError) as error:
            self._connected.discard(peer)
            raise LinkLost(f"{peer} cannot be reached: {error}", peer=peer) from error
