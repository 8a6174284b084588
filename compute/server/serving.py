"""From a chosen span to a running service: weights, self-test, engine, rates, sessions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import torch

from compute.identity import NodeKey
from compute.models.loading import LoadOptions, load_span
from compute.models.manifest import Manifest
from compute.models.progress import Progress
from compute.models.sources import ModelFiles
from compute.models.span import LoadedSpan
from compute.runner.engine import Engine, EngineOptions
from compute.runner.engine_types import free_cores
from compute.runner.selftest import SpanRates, self_test
from compute.server.memory import default_cache_bytes, read_free_bytes
from compute.server.options import ProviderOptions
from compute.server.placement import Placement
from compute.server.rates import measure_rates
from compute.server.service import SessionService
from compute.server.serving_terms import terms_of
from compute.server.swarm_link import Load, SwarmLink
from compute.types import Span


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

    async def close(self) -> None:
        """Ends every session at once, then the engine. Idempotent."""
        await self.service.close()
        await self.engine.stop()


async def serve_span(options: ProviderOptions, joined: Joined, placement: Placement, progress: Progress) -> Serving:
    """Raises WeightsCorrupt, SelfTestFailed. Nothing of it runs on after an error.

    Threads are counted once, before anything is loaded: the rates are then those of the threads that serve.
    """
    threads = options.threads or free_cores()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    sessions = options.sessions_on(read_free_bytes(torch.device("cpu")))
    loaded = await asyncio.to_thread(_load, options, joined.files, placement.span, progress)
    engine_options = EngineOptions(
        cache_bytes=placement.cache_bytes or default_cache_bytes(read_free_bytes(loaded.device)),
        sessions_max=sessions.admission.sessions_max,
        threads=threads,
    )
    progress("measuring", 0, 0)
    rates = await measure_rates(loaded, engine_options)
    engine = Engine(loaded, engine_options)
    try:
        await engine.start()
    except BaseException:
        await engine.stop()
        raise
    terms = terms_of(loaded, joined.key.public_key, options.network_id, sessions)
    return Serving(loaded, rates, engine, SessionService(engine, terms, joined.key, sessions))


def _load(options: ProviderOptions, files: ModelFiles, span: Span, progress: Progress) -> LoadedSpan:
    """Weights and self-test: seconds of work, in a thread."""
    loaded = load_span(files, span, LoadOptions(precision=options.precision, device=options.device), progress)
    progress("testing kernels", 0, 0)
    self_test(loaded)
    return loaded
