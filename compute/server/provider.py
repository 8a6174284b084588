"""A provider from start to end: composition of model, engine, network, sessions and record.

start:  key, model files, manifest ─► swarm ─► span (given, or the one that helps most) ─► JOINING is published
        ─► weights, self-test, rates ─► engine, sessions ─► ONLINE is published, and again every `refresh_s`
drain:  LEAVING is published, new sessions are refused, running ones end by themselves or with the grace
close:  whatever has been started ends in reverse order, also in the middle of `start`
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from compute.identity import NodeKey
from compute.models.loading import LoadOptions, load_span
from compute.models.manifest import Manifest, load_or_build_manifest
from compute.models.progress import Progress, silent
from compute.models.sources import ModelFiles, resolve
from compute.models.span import LoadedSpan
from compute.runner.engine import Engine, EngineOptions
from compute.runner.selftest import SpanRates, measure, self_test
from compute.server.announcer import Announcer
from compute.server.memory import default_cache_bytes, read_free_bytes
from compute.server.options import ProviderOptions, ProviderState, ProviderStatus
from compute.server.placement import Placement, choose_placement, given_placement
from compute.server.service import SessionService
from compute.server.serving_terms import terms_of
from compute.server.swarm_link import Claim, Load, SwarmLink, record_of
from compute.swarm.records import ProviderRecord
from compute.types import PeerId, Precision, Span
from compute.wire.frames import STREAM_PROTOCOL

__all__ = ["Provider", "ProviderOptions", "ProviderState", "ProviderStatus"]

logger = logging.getLogger(__name__)

GOODBYE_TIMEOUT_S = 1.0
"""For the last publication: a swarm that cannot be reached must not hold up the end."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A provider that is in the swarm, with nothing loaded yet."""

    key: NodeKey
    files: ModelFiles
    manifest: Manifest
    link: SwarmLink


@dataclass(frozen=True, slots=True)
class Serving:
    """What serves: the loaded span and everything on top of it."""

    loaded: LoadedSpan
    rates: SpanRates
    engine: Engine
    service: SessionService

    @property
    def load(self) -> Load:
        return Load(self.engine.stats(), self.service.n_sessions)


class Provider:
    """One span of one model, served to the swarm. `start` once, then `close`, whatever happened in between."""

    def __init__(self, options: ProviderOptions) -> None:
        self._options = options
        self._state = ProviderState.NEW
        self._exits = AsyncExitStack()
        self._joined: Joined | None = None
        self._serving: Serving | None = None
        self._placement: Placement | None = None
        self._announcer: Announcer | None = None

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
        """How it is now. Only once it serves."""
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
        self._serving = await self._serve(self._joined, self._placement, progress)
        self._state = ProviderState.ONLINE
        await self._publish()
        self._announcer = Announcer(self._publish, self._options.refresh_s)
        self._announcer.start()
        logger.info("serving blocks %s of %s as %s", self.span, self._options.model, self.peer_id)

    async def drain(self, timeout_s: float) -> None:
        """Leaves politely: returns when no session is left, after `timeout_s` at the latest."""
        if self._serving is None or self._state is not ProviderState.ONLINE:
            return
        self._state = ProviderState.LEAVING
        self._serving.service.begin_drain(timeout_s)
        await self._say_goodbye(self._publish)
        await self._serving.service.wait_empty()

    async def close(self) -> None:
        """Ends everything that runs, at once. Idempotent. Sessions that are left are told DRAINING."""
        if self._state is ProviderState.CLOSED:
            return
        self._state = ProviderState.LEAVING
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

    async def _serve(self, joined: Joined, placement: Placement, progress: Progress) -> Serving:
        options = self._options
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        loaded, rates = await asyncio.to_thread(self._load, joined.files, placement.span, progress)
        cache_bytes = placement.cache_bytes or default_cache_bytes(read_free_bytes(loaded.device))
        engine = Engine(
            loaded,
            EngineOptions(
                cache_bytes=cache_bytes,
                sessions_max=options.service.admission.sessions_max,
                threads=options.threads,
            ),
        )
        self._exits.push_async_callback(engine.stop)
        await engine.start()
        service = SessionService(
            engine,
            terms_of(loaded, joined.key.public_key, options.network_id, options.sessions),
            joined.key,
            options.sessions,
        )
        self._exits.push_async_callback(service.close)
        serving = Serving(loaded, rates, engine, service)
        await joined.link.p2p.add_binary_stream_handler(STREAM_PROTOCOL, service.handle)
        await joined.link.answer_pings(lambda: serving.load)
        return serving

    def _load(self, files: ModelFiles, span: Span, progress: Progress) -> tuple[LoadedSpan, SpanRates]:
        """Weights, self-test and rates: seconds of work, in a thread."""
        load = LoadOptions(precision=self._options.precision, device=self._options.device)
        loaded = load_span(files, span, load, progress)
        progress("testing kernels", 0, 0)
        self_test(loaded)
        progress("measuring", 0, 0)
        return loaded, measure(loaded)

    # ------------------------------------------------------------------ its record

    def _record(self) -> ProviderRecord:
        joined, serving = self._needs_joined(), self._serving
        if self._placement is None:
            raise RuntimeError("the provider has chosen no span yet")
        claim = Claim(public_name(joined.files), joined.manifest, self._placement.span)
        if serving is not None:
            claim = replace(claim, loaded=serving.loaded, rates=serving.rates)
        load = None if serving is None else serving.load
        return record_of(self._options, joined.link, self._state, claim, load)

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
