"""What a provider takes: memory beyond weights and cache, cache against tokens held, CPU when idle, time to start."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence

import torch

from compute.models.loading import load_span
from compute.models.sources import ModelFiles
from compute.runner.engine import Engine, EngineOptions
from compute.types import Row, SessionId, Span, StepHeader
from peerz_node.bench.proc import cpu_s, family_of_pid, resident_bytes
from peerz_node.bench.processes import ProviderProcess
from peerz_node.bench.record import Figure, median_figure

_IDLE_S = 15.0
_SESSION_TOKENS = (50, 130, 200, 310, 400, 65, 500, 257)


def start_figure(starts_s: Sequence[float]) -> Figure:
    return median_figure("from the command to serving, warm file cache", starts_s, "s", target=6.0)


def idle_figure(provider: ProviderProcess) -> Figure:
    """CPU of a provider and its daemon while nobody asks anything."""
    pids = family_of_pid(provider.node.pid)
    before_s, started_s = cpu_s(pids), time.monotonic()
    time.sleep(_IDLE_S)  # the thing measured is time passing
    share = (cpu_s(pids) - before_s) / (time.monotonic() - started_s)
    return Figure("CPU of an idle provider", share * 100, "% of a core", 2.0)


def memory_figure(provider: ProviderProcess, files: ModelFiles) -> Figure:
    """Resident memory of a provider and its daemon, less its weights. Asked while it holds no session."""
    start, end = provider.facts["span"]
    weights = load_span(files, Span(start, end)).weight_bytes
    resident = resident_bytes(family_of_pid(provider.node.pid))
    return Figure("memory of a provider beyond weights and cache", (resident - weights) / 2**20, "MiB", 600.0)


def cache_figures(files: ModelFiles) -> list[Figure]:
    """Cache bytes taken against bytes that the tokens held need, for eight sessions of different lengths."""
    return asyncio.run(_cache_figures(files))


async def _cache_figures(files: ModelFiles) -> list[Figure]:
    loaded = load_span(files, Span(0, 2))
    engine = Engine(loaded, EngineOptions(cache_bytes=1 << 30))
    await engine.start()
    ratios = []
    try:
        for number, tokens in enumerate(_SESSION_TOKENS):
            session = SessionId(bytes([number]) * 16)
            await engine.open(session, "bench", loaded.span, 1, 1024)
            header = StepHeader(0, (Row(0, 0, tokens),))
            await engine.step(session, header, torch.zeros(tokens, loaded.width))
            ratios.append(
                engine.stats().cache_bytes_used / (sum(_SESSION_TOKENS[: number + 1]) * loaded.kv_bytes_per_token)
            )
    finally:
        await engine.stop()
    per_token = loaded.kv_bytes_per_token / len(loaded.span)
    return [
        Figure("cache taken against tokens held", statistics.mean(ratios), "x", raw=tuple(ratios)),
        Figure("keys and values per token and block", per_token, "bytes"),
    ]
