"""How fast a span is on this device, measured on the path that serves it.

An engine like the one that will serve (the same options, so the same threads; its queue, batches and checks) is given
one session: what is announced is what one client alone would see, less the network.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from compute.models.span import LoadedSpan
from compute.runner.engine import Engine, EngineOptions
from compute.runner.selftest import SpanRates
from compute.types import Row, SessionId, StepHeader

_PREFILL_TOKENS = 64
_DECODE_ROUNDS = 5
_SESSION = SessionId(bytes(16))
_NO_LIMIT = 1 << 40
"""Of the cache: a few tokens are used, whatever little room serving will have."""


async def measure_rates(
    loaded: LoadedSpan, options: EngineOptions, clock: Callable[[], float] = time.perf_counter
) -> SpanRates:
    """A fraction of a second of work."""
    engine = Engine(loaded, replace(options, cache_bytes=_NO_LIMIT))
    try:
        await engine.start()
        await engine.open(_SESSION, "", loaded.span, 1, 2 + _PREFILL_TOKENS + _DECODE_ROUNDS)
        generator = torch.Generator().manual_seed(0)
        prompt = torch.randn(2 + _PREFILL_TOKENS + _DECODE_ROUNDS, loaded.width, generator=generator).to(loaded.dtype)
        seconds: list[float] = []
        position = 0
        for seq, n_tokens in enumerate((2, _PREFILL_TOKENS, *[1] * _DECODE_ROUNDS)):  # first calls choose kernels
            started_s = clock()
            header = StepHeader(seq, (Row(0, position, n_tokens),))
            await engine.step(_SESSION, header, prompt[position : position + n_tokens])
            seconds.append(clock() - started_s)
            position += n_tokens
    finally:
        await engine.stop()
    prefill_s, decode_s = seconds[1], statistics.median(seconds[2:])
    return SpanRates(max(1, round(decode_s * 1e6)), max(1, round(_PREFILL_TOKENS / max(prefill_s, 1e-9))))
