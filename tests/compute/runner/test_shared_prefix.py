"""Merged attention equals attention over the joined keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.runner import shared_prefix
from compute.runner.shared_prefix import attend_shared, attend_with_lse

KV_HEADS, HEAD_DIM = 2, 8


def _random(generator: torch.Generator, tokens: int, dtype: torch.dtype, gain: float = 1.0) -> torch.Tensor:
    return (torch.randn(KV_HEADS, tokens, HEAD_DIM, generator=generator) * gain).to(dtype)


def _joined(q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Attention in double precision, with nothing clever."""
    scores = (q.double() @ keys.double().transpose(1, 2)) * HEAD_DIM**-0.5
    return torch.softmax(scores.masked_fill(~mask, float("-inf")), -1) @ values.double()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    pieces=st.lists(st.integers(1, 70), min_size=1, max_size=3),
    lanes=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=4),
    groups=st.integers(1, 3),
    gain=st.sampled_from([0.1, 1.0, 8.0]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_lanes_on_a_shared_prefix_equal_each_lane_on_its_own_copy(
    seed: int,
    pieces: list[int],
    lanes: list[tuple[int, int]],
    groups: int,
    gain: float,
    dtype: torch.dtype,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    prefix = [(_random(generator, n, dtype, gain), _random(generator, n, dtype)) for n in pieces]
    queries, tails, masks, expected = [], [], [], []
    for past, new in lanes:
        q = _random(generator, groups * new, dtype, gain)
        tail = (_random(generator, past + new, dtype, gain), _random(generator, past + new, dtype))
        mask = torch.ones(new, past + new, dtype=torch.bool).tril(past).repeat(groups, 1)
        keys = torch.cat([*(k for k, _ in prefix), tail[0]], 1)
        values = torch.cat([*(v for _, v in prefix), tail[1]], 1)
        whole = torch.cat([torch.ones(groups * new, sum(pieces), dtype=torch.bool), mask], 1)
        expected.append(_joined(q, keys, values, whole))
        queries.append(q)
        tails.append(tail)
        masks.append(None if new == 1 else mask)
    tolerance = 2e-5 if dtype is torch.float32 else 3e-2
    for out, right in zip(attend_shared(queries, prefix, tails, masks, HEAD_DIM**-0.5), expected, strict=True):
        assert out.dtype == dtype
        torch.testing.assert_close(out.double(), right, atol=tolerance * 4, rtol=tolerance)


@pytest.mark.parametrize("kernel", [shared_prefix._fused, shared_prefix._plain])
def test_both_kernels_give_attention_and_its_normaliser(
    kernel: Callable[..., tuple[torch.Tensor, torch.Tensor]],
) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (_random(generator, n, torch.float32) for n in (3, 11, 11))
    mask = torch.ones(3, 11, dtype=torch.bool).tril(8)
    out, lse = kernel(q, (k, v), mask, HEAD_DIM**-0.5)
    scores = ((q @ k.transpose(1, 2)) * HEAD_DIM**-0.5).masked_fill(~mask, float("-inf"))
    torch.testing.assert_close(out, torch.softmax(scores, -1) @ v)
    torch.testing.assert_close(lse, scores.logsumexp(-1))


def test_the_plain_form_serves_devices_without_the_fused_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_prefix, "_HAS_CPU_FLASH", False)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (_random(generator, n, torch.float32) for n in (3, 11, 11))
    plain = attend_with_lse(q, (k, v), None, 1.0)
    monkeypatch.setattr(shared_prefix, "_HAS_CPU_FLASH", True)
    for a, b in zip(plain, attend_with_lse(q, (k, v), None, 1.0), strict=True):
        torch.testing.assert_close(a, b)
