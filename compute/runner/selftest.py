"""Does this device compute what it should, and how fast? Asked once, before anything is served.

Cards exist that return garbage behind a healthy transport, and kernels that are wrong for one shape only. So every path
that serving uses (a prompt at once, in pieces, token by token, several lanes together, a forked lane) is compared with
the stock blocks run one lane at a time at the same precision.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from compute.errors import SelfTestFailed
from compute.models.span import LoadedSpan
from compute.runner.blocks import BatchRow, BlockRunner
from compute.runner.cache import LaneCache
from compute.runner.naive import naive_outputs
from compute.runner.pool import CachePool
from compute.types import Precision, Span

# Largest relative error of what the tested blocks add to a token, about five times the worst that honest kernels show.
_TOLERANCE = {
    Precision.FP32: 1e-4,
    Precision.BF16: 1e-1,
    Precision.INT8: 2e-1,
    Precision.INT8_CPU: 2e-1,
    Precision.NF4: 2e-1,
}
_TOKENS = 24
_LANE_TOKENS = (_TOKENS, 9, 17)
_DECODE_ROUNDS = 5
_PREFILL_TOKENS = 64


@dataclass(frozen=True, slots=True)
class SelfTestReport:
    """Worst error per path, as a share of what the blocks add to a token."""

    errors: dict[str, float]
    tolerance: float


@dataclass(frozen=True, slots=True)
class SpanRates:
    """`decode_us`: one token through the span, alone. `prefill_tokens_s`: tokens per second of a longer prompt."""

    decode_us: int
    prefill_tokens_s: int


def self_test(loaded: LoadedSpan) -> SelfTestReport:
    """Worst errors of every path. Raises SelfTestFailed naming the path that differs too much."""
    tolerance = _TOLERANCE[loaded.precision]
    errors: dict[str, float] = {}
    for block in _tested_blocks(loaded.span):
        span = Span(block, block + 1)
        inputs = [_activations(loaded, n, seed) for seed, n in enumerate(_LANE_TOKENS)]
        expected = [naive_outputs(loaded, span, x) for x in inputs]
        for path, run in _PATHS.items():
            outputs = run(BlockRunner(loaded), span, inputs)
            worst = max(_error(out, exp, x) for out, exp, x in zip(outputs, expected, inputs, strict=False))
            errors[path] = max(errors.get(path, 0.0), worst)
            if not worst <= tolerance:  # also true for NaN
                raise SelfTestFailed(
                    f"block {block} gives wrong numbers on {loaded.device} at {loaded.quant_spec} ({path}: error "
                    f"{worst:.1e}, at most {tolerance:.0e} is normal); choose another --precision or --device",
                    span=loaded.span,
                )
    return SelfTestReport(errors, tolerance)


def measure(loaded: LoadedSpan, clock: Callable[[], float] = time.perf_counter) -> SpanRates:
    """How fast the span is, alone on its device: a fraction of a second of work."""
    runner = BlockRunner(loaded)
    pool = CachePool(1 << 62)
    lane = LaneCache(runner.shape, pool)
    prompt = _activations(loaded, _PREFILL_TOKENS, 0)
    _feed(runner, loaded.span, [(lane, prompt[:2])])  # first calls choose kernels
    started_s = clock()
    _feed(runner, loaded.span, [(lane, prompt)])
    prefill_s = clock() - started_s
    decode_s = []
    for i in range(_DECODE_ROUNDS):
        started_s = clock()
        _feed(runner, loaded.span, [(lane, prompt[i : i + 1])])
        decode_s.append(clock() - started_s)
    lane.free()
    return SpanRates(max(1, round(statistics.median(decode_s) * 1e6)), max(1, round(_PREFILL_TOKENS / prefill_s)))


def _tested_blocks(span: Span) -> list[int]:
    """First, middle and last: blocks share their code, and families with kinds of blocks alternate them."""
    return sorted({span.start, (span.start + span.end) // 2, span.end - 1})


def _activations(loaded: LoadedSpan, n_tokens: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_tokens, loaded.width, generator=generator).to(device=loaded.device, dtype=loaded.dtype)


def _error(got: torch.Tensor, expected: torch.Tensor, x: torch.Tensor) -> float:
    got, expected, x = got.float(), expected.float(), x.float()
    added = (expected - x).norm(dim=-1).clamp_min(1e-12)
    return float(((got - expected).norm(dim=-1) / added).max())


def _feed(runner: BlockRunner, span: Span, batch: Sequence[tuple[LaneCache, torch.Tensor]]) -> list[torch.Tensor]:
    for lane, x in batch:
        lane.reserve(lane.length, x.shape[0])
    outputs = runner.run(span, [BatchRow(lane, x) for lane, x in batch])
    for lane, x in batch:
        lane.commit(x.shape[0])
    return outputs


def _in_pieces(
    runner: BlockRunner, span: Span, inputs: Sequence[torch.Tensor], pieces: Sequence[int]
) -> list[torch.Tensor]:
    """The first lane alone, cut into `pieces`."""
    lane = LaneCache(runner.shape, CachePool(1 << 62))
    return [torch.cat([_feed(runner, span, [(lane, x)])[0] for x in inputs[0].split(list(pieces))])]


def _prefill(runner: BlockRunner, span: Span, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return _in_pieces(runner, span, inputs, [_TOKENS])


def _chunked(runner: BlockRunner, span: Span, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return _in_pieces(runner, span, inputs, [7, _TOKENS - 7])


def _decode(runner: BlockRunner, span: Span, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return _in_pieces(runner, span, inputs, [_TOKENS - 4, 1, 1, 1, 1])


def _mixed(runner: BlockRunner, span: Span, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """All lanes in one batch: prompts first, then one token of some beside several of another."""
    lanes = [LaneCache(runner.shape, CachePool(1 << 62)) for _ in inputs]
    tails = (1, 3, 1)
    first = _feed(runner, span, [(lane, x[:-n]) for lane, x, n in zip(lanes, inputs, tails, strict=True)])
    second = _feed(runner, span, [(lane, x[-n:]) for lane, x, n in zip(lanes, inputs, tails, strict=True)])
    return [torch.cat(pair) for pair in zip(first, second, strict=True)]


def _forked(runner: BlockRunner, span: Span, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """A lane goes on after it was shared with a fork."""
    lane = LaneCache(runner.shape, CachePool(1 << 62))
    head = _feed(runner, span, [(lane, inputs[0][:-2])])[0]
    lane.share(at_least=1)
    lane.fork()
    return [torch.cat([head, _feed(runner, span, [(lane, inputs[0][-2:])])[0]])]


_PATHS = {
    "prefill": _prefill,
    "chunked prefill": _chunked,
    "decode": _decode,
    "mixed batch": _mixed,
    "forked lane": _forked,
}
