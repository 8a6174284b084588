"""What is announced is measured with the threads, and on the path, that serve."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from compute.identity import NodeKey
from compute.models.loading import load_span
from compute.models.manifest import load_or_build_manifest
from compute.models.progress import silent
from compute.models.sources import resolve
from compute.models.span import LoadedSpan
from compute.runner.blocks import BlockRunner
from compute.runner.engine import EngineOptions
from compute.server.options import ProviderOptions
from compute.server.placement import Placement
from compute.server.rates import measure_rates
from compute.server.serving import Joined, serve_span
from compute.types import Row, SessionId, Span, StepHeader


@pytest.fixture
def loaded(tiny_llama: Path) -> LoadedSpan:
    return load_span(resolve(str(tiny_llama)), Span(0, 4))


@pytest.fixture
def threads_seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The device's threads at every batch."""
    before = torch.get_num_threads()
    seen: list[int] = []
    run: Callable[..., Any] = BlockRunner.run

    def watched(self: BlockRunner, *args: Any) -> Any:
        seen.append(torch.get_num_threads())
        return run(self, *args)

    monkeypatch.setattr(BlockRunner, "run", watched)
    yield seen
    torch.set_num_threads(before)


async def test_rates_are_those_of_the_clock(loaded: LoadedSpan) -> None:
    ticks = itertools.count()
    rates = await measure_rates(loaded, EngineOptions(cache_bytes=1, threads=1), clock=lambda: next(ticks) * 0.5)
    assert (rates.decode_us, rates.prefill_tokens_s) == (500_000, 128)


async def test_measuring_uses_the_threads_that_it_is_told(loaded: LoadedSpan, threads_seen: list[int]) -> None:
    await measure_rates(loaded, EngineOptions(cache_bytes=1 << 20, threads=2))
    assert set(threads_seen) == {2}


async def test_a_provider_measures_with_the_threads_that_it_serves_with_also_when_the_machine_gets_busier(
    tiny_llama: Path, threads_seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = itertools.chain([3], itertools.repeat(1))  # cores free at start, and later, when loading keeps them busy
    for module in ("compute.server.serving", "compute.runner.engine"):
        monkeypatch.setattr(f"{module}.free_cores", lambda: next(counts))
    monkeypatch.setattr("compute.server.serving.self_test", lambda loaded: None)  # its batches are no measurement
    files = resolve(str(tiny_llama))
    no_swarm: Any = None
    joined = Joined(NodeKey.generate(), files, load_or_build_manifest(files.directory), no_swarm)
    serving = await serve_span(ProviderOptions(str(tiny_llama)), joined, Placement(Span(0, 4), 1 << 20), silent)
    try:
        assert set(threads_seen) == {3}
        engine = serving.engine
        session = SessionId(b"s" * 16)
        await engine.open(session, "client", Span(0, 4), 1, 8)
        await engine.step(session, StepHeader(0, (Row(0, 0, 2),)), torch.zeros(2, serving.loaded.width))
        assert threads_seen[-1] == 3
    finally:
        await serving.close()
