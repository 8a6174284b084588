"""The self-test passes on healthy kernels and names the path that is broken."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_models import VARIANTS

from compute.errors import SelfTestFailed
from compute.models.span import LoadedSpan
from compute.runner import attention, shared_prefix
from compute.runner.selftest import measure, self_test

LoadedOf = Callable[..., LoadedSpan]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_family_passes(variant: str, loaded_of: LoadedOf) -> None:
    report = self_test(loaded_of(variant))
    assert {"prefill", "chunked prefill", "decode", "mixed batch", "forked lane"} <= set(report.errors)
    assert max(report.errors.values()) < report.tolerance


def test_a_kernel_that_is_wrong_for_single_tokens_is_found(
    loaded_of: LoadedOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = attention.scaled_dot_product_attention

    def wrong(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **more: Any) -> torch.Tensor:
        out = right(q, k, v, **more)
        return out if more.get("attn_mask") is not None else out * 1.01

    monkeypatch.setattr(attention, "scaled_dot_product_attention", wrong)
    with pytest.raises(SelfTestFailed, match=r"decode.*choose another --precision"):
        self_test(loaded_of("llama"))


def test_a_merge_that_is_wrong_is_found(loaded_of: LoadedOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_prefix, "_merge", lambda a, b: b)
    with pytest.raises(SelfTestFailed, match="forked lane"):
        self_test(loaded_of("llama"))


def test_results_that_are_no_numbers_are_found(loaded_of: LoadedOf, monkeypatch: pytest.MonkeyPatch) -> None:
    right = attention.scaled_dot_product_attention
    monkeypatch.setattr(
        attention, "scaled_dot_product_attention", lambda *args, **more: right(*args, **more) * float("nan")
    )
    with pytest.raises(SelfTestFailed, match="prefill: error nan"):
        self_test(loaded_of("llama"))


def test_rates_are_those_of_the_clock(loaded_of: LoadedOf) -> None:
    ticks = itertools.count()
    rates = measure(loaded_of("llama"), clock=lambda: next(ticks) * 0.5)
    assert rates.decode_us == 500_000
    assert rates.prefill_tokens_s > 0
