"""Runs stock blocks over a batch of lanes. No scheduling, no threads: `run`, then `commit` what was good."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from compute.models.families import AttentionPath
from compute.models.span import LoadedSpan
from compute.runner.alibi import PaddedStep, block_arguments
from compute.runner.attention import ATTENTION_NAME, PackedStep, current_step
from compute.runner.cache import CacheShape, LaneCache
from compute.types import Span


@dataclass(frozen=True, slots=True)
class BatchRow:
    """New tokens of one lane: `hidden` is `[n, width]`, n >= 1. The lane has room reserved for them."""

    lane: LaneCache
    hidden: torch.Tensor


class BlockRunner:
    """A loaded span with our attention in it. One thread at a time."""

    def __init__(self, loaded: LoadedSpan) -> None:
        self.loaded = loaded
        self.shape = CacheShape(len(loaded.span), loaded.kv_heads, loaded.head_dim, loaded.kv_dtype, loaded.device)
        self._packed = loaded.family.attention is AttentionPath.PACKED
        self._cache_keyword = _cache_keyword(loaded.blocks[0])
        loaded.config._attn_implementation = ATTENTION_NAME if self._packed else "sdpa"

    @torch.inference_mode()
    def run(self, span: Span, rows: Sequence[BatchRow]) -> list[torch.Tensor]:
        """What blocks `span` make of the rows: `[n, width]` in the span's dtype for each. Lanes are *not* committed."""
        for row in rows:
            row.lane.grow()
        if self._packed:
            return self._run_packed(span, rows)
        return self._run_padded(span, rows)

    def _run_packed(self, span: Span, rows: Sequence[BatchRow]) -> list[torch.Tensor]:
        loaded = self.loaded
        n_tokens = [row.hidden.shape[0] for row in rows]
        step = PackedStep([row.lane for row in rows], n_tokens, loaded.span.start, loaded.device)
        hidden = torch.cat([row.hidden for row in rows])[None].to(device=loaded.device, dtype=loaded.dtype)
        angles = _Angles(loaded, hidden, step.positions)
        arguments: dict[str, Any] = {self._cache_keyword: None, "attention_mask": None, "position_ids": step.positions}
        with current_step(step):
            for number, block in self._blocks(span):
                hidden = block(hidden, position_embeddings=angles.of(number), **arguments)
                if isinstance(hidden, tuple):
                    hidden = hidden[0]
        return list(hidden[0].split(n_tokens))

    def _run_padded(self, span: Span, rows: Sequence[BatchRow]) -> list[torch.Tensor]:
        outputs: dict[int, torch.Tensor] = {}
        by_length: defaultdict[int, list[int]] = defaultdict(list)
        for i, row in enumerate(rows):
            by_length[row.hidden.shape[0]].append(i)
        for n, members in by_length.items():
            for i, output in zip(members, self._run_padded_group(span, [rows[i] for i in members], n), strict=True):
                outputs[i] = output
        return [outputs[i] for i in range(len(rows))]

    def _run_padded_group(self, span: Span, rows: Sequence[BatchRow], n: int) -> torch.Tensor:
        loaded = self.loaded
        step = PaddedStep([row.lane for row in rows], n, loaded.span.start, loaded.device)
        hidden = torch.stack([row.hidden for row in rows]).to(device=loaded.device, dtype=loaded.dtype)
        arguments = block_arguments(step, loaded.config, loaded.dtype)
        if loaded.rotary is not None:
            arguments["position_ids"] = step.positions
            arguments["position_embeddings"] = loaded.rotary(hidden, step.positions)
        for _, block in self._blocks(span):
            hidden = block(hidden, layer_past=step, use_cache=True, **arguments)[0]
        return hidden

    def _blocks(self, span: Span) -> list[tuple[int, torch.nn.Module]]:
        start = self.loaded.span.start
        return [(i, self.loaded.blocks[i - start]) for i in range(span.start, span.end)]


class _Angles:
    """Rotary (cos, sin) of a step, once for each kind of block."""

    def __init__(self, loaded: LoadedSpan, hidden: torch.Tensor, positions: torch.Tensor) -> None:
        self._loaded = loaded
        self._inputs = (hidden, positions)
        self._made: dict[str | None, Any] = {}

    def of(self, block: int) -> Any:
        rotary = self._loaded.rotary
        if rotary is None:
            return None
        kind = self._loaded.config.layer_types[block] if self._loaded.family.rotary_per_layer_type else None
        if kind not in self._made:
            extra = () if kind is None else (kind,)
            self._made[kind] = rotary(*self._inputs, *extra)
        return self._made[kind]


def _cache_keyword(block: torch.nn.Module) -> str:
    """What the block calls its cache: `cache` from transformers 5.24 on, `past_key_values` before."""
    return "cache" if "cache" in inspect.signature(block.forward).parameters else "past_key_values"
