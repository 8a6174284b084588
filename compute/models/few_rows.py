"""fp32 linear layers on CPUs, for the few rows of a batch of decode steps.

`x W^T` with 6 to 16 rows is a shape that BLAS libraries are bad at: on a Xeon with AVX-512, `(W x^T)^T` takes 0.8 of
the time for the wide layers of a block and 1.2 of it for the narrow ones. So each shape is measured once, at loading,
and the faster order is kept. Both orders sum the same products in fp32; results differ in the last bits, as they do
anyway between one row and several.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch
from torch.nn import functional

ROWS_MIN, ROWS_MAX = 6, 16
_TRIAL_ROWS = 8
_TRIALS = 7
_WORTH = 0.95
"""Of the usual time: what the other order must stay below to be chosen."""


class FewRowsLinear(torch.nn.Linear):
    """A linear layer that multiplies in the other order where a batch has few rows. Without gradients only."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        rows = input.numel() // self.in_features
        if not ROWS_MIN <= rows <= ROWS_MAX or torch.is_grad_enabled():
            return functional.linear(input, self.weight, self.bias)
        out = (self.weight @ input.reshape(rows, self.in_features).t()).t()
        if self.bias is not None:
            out = out + self.bias
        return out.reshape(*input.shape[:-1], self.out_features)


def quicken(block: torch.nn.Module, is_worth_it: Callable[[int, int], bool] | None = None) -> None:
    """Makes the fp32 linear layers of a block on the CPU `FewRowsLinear` where that is faster here."""
    is_worth_it = is_worth_it or other_order_wins
    for module in block.modules():
        if type(module) is torch.nn.Linear and is_worth_it(module.out_features, module.in_features):
            module.__class__ = FewRowsLinear  # the same parameters under the same names, another `forward`


@functools.cache
def other_order_wins(n_out: int, n_in: int) -> bool:
    """Whether `(W x^T)^T` is faster than `x W^T` on this CPU, with the threads that torch uses now."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(n_out, n_in, generator=generator)
    x = torch.randn(_TRIAL_ROWS, n_in, generator=generator)
    with torch.inference_mode():
        return _best_s(lambda: (weight @ x.t()).t()) < _WORTH * _best_s(lambda: functional.linear(x, weight))


def _best_s(work: Callable[[], torch.Tensor]) -> float:
    best_s = float("inf")
    for _ in range(_TRIALS):
        started_s = time.perf_counter()
        work()
        best_s = min(best_s, time.perf_counter() - started_s)
    return best_s
