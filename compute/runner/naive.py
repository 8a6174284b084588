"""The naive twin: one sequence at a time, stock attention, no cache.

Slow, simple, and what every batched result is compared with.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from compute.models.families import AttentionPath
from compute.models.span import LoadedSpan
from compute.types import Span


@torch.inference_mode()
def naive_outputs(loaded: LoadedSpan, span: Span, hidden: torch.Tensor) -> torch.Tensor:
    """What blocks `span` make of a whole sequence `[tokens, width]` from position 0 on, without any cache."""
    tokens = hidden.shape[0]
    positions = torch.arange(tokens, device=hidden.device)[None]
    h = hidden[None]
    with _eager_attention(loaded):
        for number in range(span.start, span.end):
            block = loaded.blocks[number - loaded.span.start]
            out = block(h, **_arguments(loaded, block, number, h, positions))
            h = out[0] if isinstance(out, tuple) else out
    return h[0]


def _arguments(
    loaded: LoadedSpan, block: torch.nn.Module, number: int, h: torch.Tensor, positions: torch.Tensor
) -> dict[str, Any]:
    tokens = h.shape[1]
    window = _window(loaded, number)
    visible = torch.ones(tokens, tokens, dtype=torch.bool, device=h.device).tril()
    if window is not None:
        visible = visible.triu(1 - window)
    mask = torch.zeros(1, 1, tokens, tokens, dtype=h.dtype, device=h.device)
    mask.masked_fill_(~visible, torch.finfo(h.dtype).min)
    arguments: dict[str, Any] = {"attention_mask": mask}
    if loaded.family.attention is AttentionPath.ALIBI:
        from compute.runner.alibi import PaddedStep, block_arguments
        from compute.runner.cache import CacheShape, LaneCache
        from compute.runner.pool import CachePool

        lane = LaneCache(CacheShape(1, 1, 1, h.dtype, h.device), CachePool(1 << 30))
        lane.reserve(0, tokens)
        lane.grow()
        arguments = block_arguments(PaddedStep([lane], tokens, 0, h.device), loaded.config, h.dtype)
    if loaded.rotary is not None:
        kind = (loaded.config.layer_types[number],) if loaded.family.rotary_per_layer_type else ()
        arguments["position_embeddings"] = loaded.rotary(h, positions, *kind)
    if "position_ids" in inspect.signature(block.forward).parameters:
        arguments["position_ids"] = positions
    return arguments


def _window(loaded: LoadedSpan, number: int) -> int | None:
    """The block's sliding window, where the config gives it one."""
    config = loaded.config
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and kinds[number] != "sliding_attention":
        return None
    window = getattr(config, "sliding_window", None)
    return int(window) if window else None


@contextmanager
def _eager_attention(loaded: LoadedSpan) -> Iterator[None]:
    """Falcon keeps its SDPA code: its eager code adds ALiBi twice."""
    if loaded.family.attention is AttentionPath.ALIBI:
        yield
        return
    before = loaded.config._attn_implementation
    loaded.config._attn_implementation = "eager"
    try:
        yield
    finally:
        loaded.config._attn_implementation = before
