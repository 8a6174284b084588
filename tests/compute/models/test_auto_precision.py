from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from compute.models.auto_precision import GAIN_MIN, choose_precision, fastest
from compute.models.loading import LoadOptions, load_span
from compute.models.sources import ModelFiles
from compute.types import Precision, Span

FP32, BF16, INT8_CPU = Precision.FP32, Precision.BF16, Precision.INT8_CPU


@pytest.mark.parametrize(
    ("costs", "chosen"),
    [
        ({FP32: 1.0}, FP32),
        ({FP32: 1.0, BF16: 1.0}, FP32),
        ({FP32: 1.0, BF16: 0.99 / GAIN_MIN}, BF16),
        ({FP32: 1.0, BF16: 1.01 / GAIN_MIN}, FP32),
        ({FP32: 3.0, BF16: 2.0, INT8_CPU: 1.0}, INT8_CPU),
        ({BF16: 2.0, INT8_CPU: 1.9}, INT8_CPU),
    ],
)
def test_fp32_stays_unless_another_is_clearly_faster(costs: dict[Precision, float], chosen: Precision) -> None:
    assert fastest(costs) is chosen


def test_the_clock_decides(saved: Callable[[str], ModelFiles]) -> None:
    """Time runs slower while the second candidate computes: it must win."""
    block = load_span(saved("llama"), Span(0, 1)).blocks[0]
    now_s, calls = 0.0, 0
    per_candidate = 3 * 4 * 2  # sizes of batch, rounds, start and end

    def clock() -> float:
        nonlocal now_s, calls
        calls += 1
        now_s += 1.0 if calls <= per_candidate else 0.5
        return now_s

    assert choose_precision(block, torch.device("cpu"), (FP32, BF16), clock) is BF16
    assert calls == 2 * per_candidate


@pytest.mark.parametrize("variant", ["llama", "mixtral", "bloom"])
def test_auto_declares_what_it_chose_and_never_a_lossy_precision(
    variant: str, saved: Callable[[str], ModelFiles]
) -> None:
    loaded = load_span(saved(variant), Span(0, 2), LoadOptions(precision=Precision.AUTO))
    assert loaded.precision in (FP32, BF16)
    assert loaded.quant_spec == loaded.precision.value
    assert {parameter.dtype for parameter in loaded.blocks.parameters()} == {loaded.dtype}


def test_auto_chooses_only_among_what_is_allowed(saved: Callable[[str], ModelFiles]) -> None:
    options = LoadOptions(precision=Precision.AUTO, auto=(INT8_CPU,))
    assert load_span(saved("llama"), Span(0, 1), options).precision is INT8_CPU
