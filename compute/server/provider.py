"""A provider from start to end: composition of model, engine, network, sessions and record.

start:  key, model files, manifest ─► swarm ─► span (given, or the one that helps most) ─► JOINING is published
        ─► weights, self-test, rates ─► engine, sessions ─► ONLINE is published, and again every `refresh_s`
move:   JOINING is published with the new span, new sessions are refused, running ones end by themselves
        ─► engine and weights are dropped ─► weights, self-test, ... of the new span ─► ONLINE is published
drain:  LEAVING is published, new sessions are refused, running ones end by themselves or with the grace
close:  whatever has been started ends in reverse order, also in the middle of `start` and of a move
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import torch
from hivemind.p2p.p2p_daemon_bindings.datastructures import StreamInfo
from hivemind.utils import get_dht_time

from compute.errors import ComputeError, Draining
from compute.identity import NodeKey
from compute.models.manifest import load_or_build_manifest
from compute.models.progress import Progress, silent
from compute.models.sources import ModelFiles, resolve
from compute.server.announcer import Announcer
from compute.server.memory import read_free_bytes
from compute.server.mover import Mover
from compute.server.options import ProviderOptions, ProviderState, ProviderStatus
from compute.server.placement import Placement, choose_placement, given_placement
from compute.server.rebalancing import Rebalancer
from compute.server.refuser import Refuser
from compute.server.serving import Joined, Serving, serve_span
from compute.server.swarm_link import Claim, Load, SwarmLink, record_of
from compute.swarm.records import ProviderRecord
from compute.types import PeerId, Precision, Span
from compute.wire.frames import STREAM_PROTOCOL

__all__ = ["Provider", "ProviderOptions", "ProviderState", "ProviderStatus"]

logger = logging.getLogger(__name__)

LOOKS_PER_WINDOW = 3
"""Looks at the swarm in one mover's turn: two must agree."""

GOODBYE_TIMEOUT_S = 1.0
"""For the last publication: a swarm that cannot be reached must not hold up the end."""


class Provider:
    """One span of one model, served to the swarm. `start` once, then `close`, whatever happened in between."""

    def __init__(self, options: ProviderOptions) -> None:
        self._options = options
        self._state = ProviderState.NEW
        self._exits = AsyncExitStack()
        self._joined: Joined | None = None
        self._serving: Serving | None = None
        self._refuser = Refuser(options.service)  # for streams that come while nothing is loaded
        self._placement: Placement | None = None
        self._announcer: Announcer | None = None
        self._mover: Mover | None = None
        self._failed = asyncio.Event()
        self._failure: Exception | None = None

    # ------------------------------------------------------------------ what it is

    @property
    def state(self) -> ProviderState:
        return self._state

    @property
    def peer_id(self) -> PeerId:
        return self._needs_joined().key.peer_id

    @property
    def public_key(self) -> bytes:
        return self._needs_joined().key.public_key

    @property
    def addresses(self) -> tuple[str, ...]:
        """Full multiaddrs, to give to others."""
        return self._needs_joined().link.addresses

    @property
    def model_root(self) -> bytes:
        return self._needs_joined().manifest.root

    @property
    def span(self) -> Span:
        return self._needs_serving().loaded.span

    @property
    def precision(self) -> Precision:
        """How the weights are held: never AUTO."""
        return self._needs_serving().loaded.precision

    @property
    def quant_spec(self) -> str:
        return self._needs_serving().loaded.quant_spec

    @property
    def numeric_profile(self) -> str:
        return self._needs_serving().loaded.numeric_profile

    def status(self) -> ProviderStatus:
        """How it is now. Only while it serves: not before, and not while a move loads other blocks."""
        joined, serving = self._needs_joined(), self._needs_serving()
        loaded, stats = serving.loaded, serving.engine.stats()
        return ProviderStatus(
            state=self._state,
            peer_id=joined.key.peer_id,
            addresses=joined.link.addresses,
            model=joined.files.name,
            model_root=joined.manifest.root.hex(),
            n_blocks=joined.manifest.n_blocks,
            span=(loaded.span.start, loaded.span.end),
            precision=loaded.precision.value,
            quant_spec=loaded.quant_spec,
            numeric_profile=loaded.numeric_profile,
            sessions=serving.service.n_sessions,
            queued_tokens=stats.queued_tokens,
            cache_bytes_used=stats.cache_bytes_used,
            cache_bytes_budget=stats.cache_bytes_budget,
            weight_bytes=loaded.weight_bytes,
            decode_us=serving.rates.decode_us,
            prefill_tokens_s=serving.rates.prefill_tokens_s,
            tokens_total=stats.tokens_total,
        )

    # ------------------------------------------------------------------ its life

    async def start(self, progress: Progress = silent) -> None:
        """Returns when it serves and its record is published.

        Raises UnknownModel, UnsupportedModel, WeightsCorrupt, BadRequest (no such blocks, no memory), SelfTestFailed,
        PeerUnreachable, AddressInUse. After an error `close` is still due. `progress` is called from other threads too.
        """
        if self._state is not ProviderState.NEW:
            raise RuntimeError("a provider starts once")
        self._state = ProviderState.STARTING
        self._joined = await self._join(progress)
        self._placement = await self._place(self._joined)
        await self._publish()
        self._exits.push_async_callback(self._stop_serving)
        await self._start_serving(self._placement, progress)
        await self._joined.link.p2p.add_binary_stream_handler(STREAM_PROTOCOL, self._on_stream)
        await self._joined.link.answer_pings(self._load)
        self._state = ProviderState.ONLINE
        await self._publish()
        self._announcer = Announcer(self._publish, self._options.refresh_s)
        self._announcer.start()
        self._watch_the_swarm(self._placement)
        logger.info("serving blocks %s of %s as %s", self.span, self._options.model, self.peer_id)

    async def drain(self, timeout_s: float) -> None:
        """Leaves politely: returns when no session is left, after `timeout_s` at the latest."""
        if self._state not in (ProviderState.ONLINE, ProviderState.MOVING):
            return
        self._state = ProviderState.LEAVING
        if self._mover is not None:
            await self._mover.stop()
        if self._serving is None:
            return
        self._serving.service.begin_drain(timeout_s)
        await self._say_goodbye(self._publish)
        await self._serving.service.wait_empty()

    async def close(self) -> None:
        """Ends everything that runs, at once. Idempotent. Sessions that are left are told DRAINING."""
        if self._state is ProviderState.CLOSED:
            return
        self._state = ProviderState.LEAVING
        if self._mover is not None:
            await self._mover.stop()
        if self._serving is not None:
            self._serving.service.begin_drain(0.0)
        if self._announcer is not None:
            await self._announcer.stop()
        if self._placement is not None:
            await self._say_goodbye(self._withdraw)
        self._state = ProviderState.CLOSED
        await self._exits.aclose()

    # ------------------------------------------------------------------ steps of the start

    async def _join(self, progress: Progress) -> Joined:
        options = self._options
        key = NodeKey.generate()
        if options.identity_path is not None:
            key = await asyncio.to_thread(NodeKey.load_or_create, options.identity_path, options.passphrase)
        files = await asyncio.to_thread(resolve, options.model, options.model_cache)
        manifest = await asyncio.to_thread(load_or_build_manifest, files.directory, progress)
        if options.blocks is not None:  # before anything slow: a typing error should not cost a minute
            given_placement(options.blocks, manifest, files.name, None)
        progress("joining the swarm", 0, 0)
        link = await SwarmLink.join(options, key)
        self._exits.push_async_callback(link.close)
        return Joined(key, files, manifest, link)

    async def _place(self, joined: Joined) -> Placement:
        options, manifest, files = self._options, joined.manifest, joined.files
        if options.blocks is not None:
            return given_placement(options.blocks, manifest, files.name, options.cache_bytes)
        known = await joined.link.records(manifest.root)
        records = tuple(record for record in known if record.peer_id != joined.key.peer_id)  # an earlier life's
        free_bytes = read_free_bytes(torch.device(options.device))
        return await asyncio.to_thread(
            choose_placement, records, manifest, files, options.precision, free_bytes, options.cache_bytes
        )

    async def _start_serving(self, placement: Placement, progress: Progress) -> None:
        self._placement = placement
        self._serving = await serve_span(self._options, self._needs_joined(), placement, progress)

    async def _stop_serving(self) -> None:
        """Ends what serves, and lets go of its weights."""
        serving, self._serving = self._serving, None
        if serving is not None:
            await serving.close()

    async def _on_stream(self, info: StreamInfo, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._serving is not None:
            await self._serving.service.handle(info, reader, writer)
            return
        peer = PeerId(info.peer_id.to_base58())
        try:
            gone = Draining("this provider is about to serve other blocks: plan the route again")
            await self._refuser.refuse(gone, peer, reader, writer)
        except Exception as error:
            logger.info("a stream of %s was not refused in good order: %s", peer, error)
            writer.transport.abort()

    def _load(self) -> Load | None:
        return None if self._serving is None else self._serving.load

    # ------------------------------------------------------------------ moving

    def _watch_the_swarm(self, placement: Placement) -> None:
        if placement.blocks_max is None:
            return
        rules = self._options.moves
        rebalancer = Rebalancer(rules, placement.blocks_max, get_dht_time())
        self._mover = Mover(self, rebalancer, rules.window_s / LOOKS_PER_WINDOW, get_dht_time)
        self._mover.start()

    async def view(self) -> tuple[ProviderRecord, tuple[ProviderRecord, ...]]:
        """Its own record as it is now, and those of all providers of its model."""
        return self._record(), await self._needs_joined().link.records(self.model_root)

    async def move(self, span: Span) -> bool:
        """Serves `span` instead, once no session is left. Whether it does: it goes on as before when sessions do not
        end in time, and when the new blocks cannot be served. Raises when the old ones cannot, either."""
        before, serving = self._placement, self._serving
        if self._state is not ProviderState.ONLINE or serving is None or before is None:
            return False
        self._placement, self._state = replace(before, span=span), ProviderState.MOVING
        try:
            await self._publish()
            serving.service.begin_drain(math.inf)
            async with asyncio.timeout(self._options.move_drain_s):
                await serving.service.wait_empty()
        except Exception as error:
            logger.info("the move to %s is given up: %s", span, str(error) or "sessions go on")
            serving.service.end_drain()
            self._settle(before)
            return False
        await self._stop_serving()
        del serving  # its weights make room for the new ones
        try:
            await self._start_serving(replace(before, span=span), silent)
        except Exception as error:  # whatever it is, this provider has blocks that it can serve
            logger.warning("blocks %s cannot be served (%r); back to %s", span, error, before.span)
            await self._back_to(before)
        self._settle(self._placement)
        logger.info("serving blocks %s of %s now", self.span, self._options.model)
        return self.span == span

    async def _back_to(self, placement: Placement) -> None:
        """Raises what the start did; this provider has left the swarm then."""
        try:
            await self._start_serving(placement, silent)
        except Exception as error:
            self._state = ProviderState.LEAVING
            await self._say_goodbye(self._withdraw)
            self._failure = error
            self._failed.set()
            raise

    async def failure(self) -> NoReturn:
        """Waits for ever, or until this provider serves nothing any more and cannot mend that; raises why."""
        await self._failed.wait()
        raise ComputeError("no blocks can be served any more; start the provider again") from self._failure

    def _settle(self, placement: Placement) -> None:
        """Says where it is; the announcer goes on saying it when that fails."""
        self._placement, self._state = placement, ProviderState.ONLINE
        if self._announcer is not None:
            self._announcer.poke()

    # ------------------------------------------------------------------ its record

    def _record(self) -> ProviderRecord:
        joined, serving = self._needs_joined(), self._serving
        if self._placement is None:
            raise RuntimeError("the provider has chosen no span yet")
        claim = Claim(public_name(joined.files), joined.manifest, self._placement.span)
        if serving is not None and serving.loaded.span == claim.span:
            claim = replace(claim, loaded=serving.loaded, rates=serving.rates)
        return record_of(self._options, joined.link, self._state, claim, self._load())

    async def _publish(self) -> None:
        await self._needs_joined().link.publish(self._record())

    async def _withdraw(self) -> None:
        await self._needs_joined().link.withdraw(self._record())

    async def _say_goodbye(self, last_word: Callable[[], Awaitable[None]]) -> None:
        """Tells the swarm that this provider leaves, if that takes no longer than a moment."""
        try:
            async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                await last_word()
        except Exception as error:
            logger.warning("the swarm was not told that this provider leaves: %s", error)

    def _needs_joined(self) -> Joined:
        if self._joined is None:
            raise RuntimeError("the provider has not joined the swarm yet")
        return self._joined

    def _needs_serving(self) -> Serving:
        if self._serving is None:
            raise RuntimeError("the provider does not serve yet")
        return self._serving


def public_name(files: ModelFiles) -> str:
    """What the model is called in records: never a path of this machine."""
    return files.directory.name if Path(files.name).expanduser().is_dir() else files.name
