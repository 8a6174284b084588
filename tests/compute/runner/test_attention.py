"""The attention function beside transformers' own eager one, for what a family may ask of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward

from compute.runner.attention import PackedStep, current_step, lanes_attention
from compute.runner.cache import CacheShape, LaneCache
from compute.runner.pool import CachePool

HEADS, KV_HEADS, HEAD_DIM, TOKENS = 6, 2, 8, 23
SHAPE = CacheShape(1, KV_HEADS, HEAD_DIM, torch.float32, torch.device("cpu"))


def _ours(qkv: list[torch.Tensor], chunks: list[int], fork_at: int | None, **arguments: Any) -> torch.Tensor:
    """One lane, chunk by chunk; from token `fork_at` on it has a shared prefix."""
    module = SimpleNamespace(layer_idx=0)
    lane = LaneCache(SHAPE, CachePool(1 << 30))
    outputs = []
    start = 0
    for n in chunks:
        assert lane.reserve(lane.length, n)
        lane.grow()
        with current_step(PackedStep([lane], [n], 0, SHAPE.device)):
            piece = [tensor[:, :, start : start + n] for tensor in qkv]
            outputs.append(lanes_attention(module, *piece, None, **arguments)[0])
        lane.commit(n)
        start += n
        if start == fork_at:
            lane.share(at_least=1)
    return torch.cat(outputs, 1)


@pytest.mark.parametrize("fork_at", [None, 12])
@pytest.mark.parametrize("sinks", [False, True])
@pytest.mark.parametrize("window", [None, 5, 100])
@pytest.mark.parametrize("scaling", [0.2, 1.0])
def test_scale_window_and_sinks_are_honoured(
    scaling: float, window: int | None, sinks: bool, fork_at: int | None
) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, heads, TOKENS, HEAD_DIM, generator=generator) for heads in (HEADS, KV_HEADS, KV_HEADS))
    sink_logits = torch.randn(HEADS, generator=generator) if sinks else torch.full((HEADS,), -1e9)
    visible = torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril()
    if window is not None:
        visible = visible.triu(1 - window)
    mask = torch.zeros(1, 1, TOKENS, TOKENS).masked_fill(~visible, torch.finfo(torch.float32).min)
    stock = SimpleNamespace(num_key_value_groups=HEADS // KV_HEADS, sinks=sink_logits, training=False)
    expected = eager_attention_forward(stock, q, k, v, mask, scaling=scaling)[0]
    arguments: dict[str, Any] = {"scaling": scaling, "sliding_window": window}
    if sinks:
        arguments["s_aux"] = sink_logits
    got = _ours([q, k, v], [12, 1, 1, 9], fork_at, **arguments)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_without_a_scale_it_is_the_usual_one() -> None:
    q, k, v = (torch.randn(1, heads, 7, HEAD_DIM) for heads in (HEADS, KV_HEADS, KV_HEADS))
    torch.testing.assert_close(
        _ours([q, k, v], [7], None), _ours([q, k, v], [7], None, scaling=HEAD_DIM**-0.5), atol=1e-6, rtol=1e-6
    )
