"""Which precision is fastest on this machine, by trying the matrices of one block.

Only linear layers are timed: nine tenths of a block's time, and the only part that differs between precisions. The
answer depends on the processor's instructions far more than on the model (AVX2 multiplies bf16 prompts four times
slower than fp32, AVX-512 with bf16 twice as fast), so it is measured where it is used, once, declared, and kept:
switching by batch size would make a row's numbers depend on who else is in the batch.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch.nn import functional

from compute.models.linears import FORMATS
from compute.types import Precision

logger = logging.getLogger(__name__)

# Rows in a call -> share of calls: one client's token, a token of each of eight clients, a piece of a prompt.
_WORKLOAD = {1: 1.0, 8: 1.0, 64: 0.25}
_ROUNDS = 3
GAIN_MIN = 1.2
"""A precision that is not fp32 must be this many times faster: fp32 is the one that others can check almost exactly."""
# More than caches hold. In a whole span no block's weights are still in the cache when their turn comes.
_EVICT_BYTES = 64 << 20


def choose_precision(
    block: torch.nn.Module,
    device: torch.device,
    candidates: Sequence[Precision] = (Precision.FP32, Precision.BF16),
    clock: Callable[[], float] = time.perf_counter,
) -> Precision:
    """The candidate that computes the fp32 `block`'s matrices fastest on `device`, fp32 unless the gain is clear."""
    costs_s = {candidate: _cost_s(block, candidate, device, clock) for candidate in candidates}
    chosen = fastest(costs_s)
    logger.info("precision %s chosen: %s", chosen, ", ".join(f"{p} {c * 1e3:.2f} ms" for p, c in costs_s.items()))
    return chosen


def fastest(costs_s: Mapping[Precision, float]) -> Precision:
    """The cheapest precision, or fp32 where that is among them and nearly as cheap."""
    best = min(costs_s, key=lambda precision: costs_s[precision])
    exact_s = costs_s.get(Precision.FP32)
    return best if exact_s is None or exact_s > GAIN_MIN * costs_s[best] else Precision.FP32


def _cost_s(block: torch.nn.Module, precision: Precision, device: torch.device, clock: Callable[[], float]) -> float:
    dtype = torch.bfloat16 if precision is Precision.BF16 else torch.float32
    layers = [_layer(matrix, precision, device, dtype) for matrix in _matrices(block)]
    evict = torch.zeros(_EVICT_BYTES // 4) if device.type == "cpu" else None
    cost_s = 0.0
    for rows, share in _WORKLOAD.items():
        inputs = [torch.randn(rows, width).to(device, dtype) for width, _ in layers]
        times_s = []
        for _ in range(_ROUNDS + 1):
            if evict is not None:
                evict.add_(1.0)
            started_s = clock()
            for x, (_, layer) in zip(inputs, layers, strict=True):
                layer(x)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times_s.append(clock() - started_s)
        cost_s += share * statistics.median(times_s[1:])  # the first call chooses kernels
    return cost_s


def _layer(
    matrix: torch.Tensor, precision: Precision, device: torch.device, dtype: torch.dtype
) -> tuple[int, Callable[[torch.Tensor], torch.Tensor]]:
    """(input width, a linear layer that holds `matrix` in `precision`)."""
    width = matrix.shape[1]
    if precision in FORMATS:
        like = torch.nn.Linear(width, matrix.shape[0], bias=False, device="meta")
        parts = {name: part.to(device) for name, part in FORMATS[precision].quantise(matrix).items()}
        return width, FORMATS[precision].build(like, parts).eval()
    weight = matrix.to(device, dtype)
    return width, lambda x: functional.linear(x, weight)


def _matrices(block: torch.nn.Module) -> list[torch.Tensor]:
    """Weights of the linear layers, and one expert of each fused tensor."""
    weights = [parameter.detach() for parameter in block.parameters()]
    return [w if w.ndim == 2 else w[0] for w in weights if w.ndim in (2, 3)]
