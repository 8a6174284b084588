"""Engines on tiny models, and a gate that holds the device."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_model

from compute.models.families import family_of
from compute.models.span import LoadedSpan
from compute.runner.blocks import BatchRow
from compute.runner.engine import Engine, EngineOptions
from compute.types import Precision, Span

WHOLE = Span(0, 4)


def _make_importable(name: str) -> None:
    """The neighbouring module, by its name, from every test."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


_make_importable("engine_steps")


@pytest.fixture(scope="session")
def loaded_of() -> Callable[..., LoadedSpan]:
    """Blocks of a variant's tiny model (all four when no span is given), put together without any weight file."""
    made: dict[tuple[str, Span], LoadedSpan] = {}

    def load(variant: str, span: Span = WHOLE) -> LoadedSpan:
        if (variant, span) not in made:
            made[variant, span] = _span_of(variant, span)
        return made[variant, span]

    return load


@pytest.fixture
def loaded_copy() -> Callable[[str], LoadedSpan]:
    """The same blocks once more, for a twin that computes while a device does: it switches its blocks' attention."""
    return lambda variant: _span_of(variant, WHOLE)


def _span_of(variant: str, span: Span) -> LoadedSpan:
    model = tiny_model(variant).requires_grad_(False)
    family = family_of(model.config.model_type)
    with torch.no_grad():
        keys = model(input_ids=torch.tensor([[3]]), use_cache=True).past_key_values.layers[0].keys
    blocks = torch.nn.ModuleList(model.get_submodule(family.blocks)[span.start : span.end])
    return LoadedSpan(
        config=model.config,
        family=family,
        span=span,
        blocks=blocks,
        rotary=model.get_submodule(family.rotary) if family.rotary else None,
        device=torch.device("cpu"),
        dtype=torch.float32,
        kv_dtype=torch.float32,
        kv_heads=keys.shape[1],
        head_dim=keys.shape[3],
        precision=Precision.FP32,
        quant_spec="fp32",
        numeric_profile="fp32/fp32/fp32",
        model_root=bytes(32),
        weight_bytes=sum(parameter.nbytes for parameter in blocks.parameters()),
    )


@pytest.fixture
async def engine_of(loaded_of: Callable[..., LoadedSpan]) -> AsyncIterator[Callable[..., Awaitable[Engine]]]:
    """Starts engines; at the end they are stopped and must hold nothing."""
    engines: list[Engine] = []

    async def start(variant: str = "llama", cache_tokens: int = 100_000, **options: Any) -> Engine:
        loaded = loaded_of(variant)
        engine = Engine(
            loaded, EngineOptions(cache_bytes=cache_tokens * loaded.kv_bytes_per_token, threads=1, **options)
        )
        await engine.start()
        engines.append(engine)
        return engine

    yield start
    for engine in engines:
        engine.check_integrity()
        await engine.stop()
        assert engine.stats().cache_bytes_used == 0


class Gate:
    """Holds every batch on the device until `open` is set; remembers the batches."""

    def __init__(self, engine: Engine) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[int]] = []
        runner: Any = engine._runner
        self._run = runner.run
        runner.run = self._held

    def _held(self, span: Span, rows: Sequence[BatchRow]) -> list[torch.Tensor]:
        self.batches.append([row.hidden.shape[0] for row in rows])
        self.entered.set()
        assert self.open.wait(20)
        outputs: list[torch.Tensor] = self._run(span, rows)
        return outputs


@pytest.fixture
def gate_of() -> Callable[[Engine], Gate]:
    return Gate
