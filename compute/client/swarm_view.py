"""The swarm as one client sees it for one model: records that are still good, round trips, streams to providers.

Providers are met before they are needed: their addresses come from their records (the daemon alone would look for them
in its own DHT, for seconds, and through peers that may be the very ones that failed), and each ping brings the record
as it is now. So a replica that has just come up is known as such, and connected, when a hop is lost.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hivemind.p2p.p2p_daemon_bindings.utils import ControlFailure, DispatchFailure, P2PDaemonError
from hivemind.utils import get_dht_time

from compute.client.contracts import ANY_PROFILE, HopTarget, Profile
from compute.errors import ComputeError, LinkLost
from compute.swarm.daemon import open_stream
from compute.swarm.directory import Directory
from compute.swarm.network import SwarmNetwork
from compute.swarm.pinger import Pinger
from compute.swarm.records import ProviderRecord, open_record
from compute.swarm.routing import Hop, RouteRequest, plan_route
from compute.types import Codec, PeerId, Span
from compute.wire.frames import STREAM_PROTOCOL

logger = logging.getLogger(__name__)

_NEWS_TIMEOUT_S = 1.0
_PING_TIMEOUT_S = 1.0
_MEETINGS_MAX = 64
_MEETINGS_AT_ONCE = 16


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
        self._asked_at: dict[PeerId, float] = {}
        self._meetings = asyncio.Semaphore(_MEETINGS_AT_ONCE)
        self._news = asyncio.Event()
        self._looking: asyncio.Task[Any] | None = None
        self._meeting: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

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
        """Returns when the directory was read and some of its providers were met, or after a moment."""
        self._looking = self._spawn(self._look(), "swarm-look")
        await asyncio.wait({self._looking}, timeout=_NEWS_TIMEOUT_S)
        await asyncio.wait({self._spawn(self._meet_some(), "swarm-meet")}, timeout=_PING_TIMEOUT_S)
        self._spawn(self._keep_fresh(), "swarm-view")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def refresh(self) -> None:
        """Reads the directory and asks providers that are known. Returns at the first news, or after a moment.

        Whoever comes meanwhile shares the same look.
        """
        if self._looking is None or self._looking.done():
            self._looking = self._spawn(self._look(), "swarm-look")
        if self._meeting is None or self._meeting.done():
            self._meeting = self._spawn(self._meet_some(), "swarm-meet")
        self._news.clear()
        both = asyncio.gather(self._looking, self._meeting, return_exceptions=True)
        news = self._spawn(self._news.wait(), "swarm-news")
        try:
            await asyncio.wait({both, news}, timeout=_NEWS_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._options.refresh_s)
            await self.refresh()

    async def _look(self) -> None:
        try:
            found = await self._directory.fetch(self._model_root)
        except Exception as error:  # the DHT library raises whatever its transport raises
            logger.warning("the directory could not be read: %s", error)
            return
        for record in found:
            self._learn(record)
        self._records = {record.peer_id: record for record in self.records}
        self._asked_at = {peer: at for peer, at in self._asked_at.items() if peer in self._records}

    def _learn(self, record: ProviderRecord) -> None:
        """Takes a record that checks for what its peer says now, unless it is older than what is known."""
        known = self._records.get(record.peer_id)
        ours = record.model_root == self._model_root and record.n_blocks == self._n_blocks
        if ours and (known is None or known.expires_at_ms <= record.expires_at_ms):
            self._records[record.peer_id] = record
            if known is None or (known.state, known.span) != (record.state, record.span):
                self._news.set()

    async def _meet_some(self) -> None:
        """Asks the providers that were asked longest ago; a swarm may have thousands of them."""
        longest_ago = sorted(self.records, key=lambda record: self._asked_at.get(record.peer_id, -math.inf))
        some = longest_ago[:_MEETINGS_MAX]
        now = asyncio.get_running_loop().time()
        self._asked_at.update((record.peer_id, now) for record in some)
        await asyncio.gather(*(self._meet(record) for record in some))

    async def _meet(self, record: ProviderRecord) -> None:
        """Connects, measures the round trip, and hears what the peer says of itself now."""
        try:
            async with self._meetings:
                await self._connect(record.peer_id)
                pong = await self._pinger.ask(record.peer_id)
            said = open_record(pong.record, get_dht_time(), self._network.network_id)
        except (ComputeError, OSError) as error:
            logger.debug("%s was not met: %s", record.peer_id, error)
            self._connected.discard(record.peer_id)
            return
        if said.peer_id == record.peer_id:
            self._learn(said)

    async def _connect(self, peer: PeerId) -> None:
        """Raises PeerUnreachable."""
        if peer not in self._connected and (record := self._records.get(peer)) is not None:
            await self._network.connect(peer, record.addresses)
            self._connected.add(peer)

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
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
            await self._connect(peer)
            return await open_stream(self._network.p2p, peer, STREAM_PROTOCOL)
        except (P2PDaemonError, ControlFailure, DispatchFailure, OSError, EOFError, ComputeError) as error:
            self._connected.discard(peer)
            raise LinkLost(f"{peer} cannot be reached: {error}", peer=peer) from error
