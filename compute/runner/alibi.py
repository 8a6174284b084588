"""BLOOM and Falcon: families with attention code of their own, which our registered function cannot enter.

Rows with equally many new tokens form a padded batch. The block calls `update(k, v, layer_idx)` on what it takes for a
cache; that writes into the lanes' own buffers and returns their contents padded on the right to the longest lane. Masks
are additive, since BLOOM adds them to the scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PretrainedConfig
from transformers.models.falcon.modeling_falcon import build_alibi_tensor

from compute.runner.cache import LaneCache


class PaddedStep:
    """`n` new tokens of each of `lanes`, for blocks numbered from `first_block`. Lanes have grown already."""

    def __init__(self, lanes: Sequence[LaneCache], n: int, first_block: int, device: torch.device) -> None:
        self._first_block = first_block
        past = torch.tensor([lane.length for lane in lanes], device=device)
        self._longest = int(past.max()) + n
        self._lengths = [lane.length + n for lane in lanes]
        self.positions = past[:, None] + torch.arange(n, device=device)
        self._slots = [lane.slots(n) for lane in lanes]
        self._tails = [lane.views(n) for lane in lanes]
        self._shared = [lane.shared_views() for lane in lanes]

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer_idx: int, *rest: Any, **more: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Stores `[rows, kv_heads, n, head_dim]`; returns all tokens, `[rows, kv_heads, longest, head_dim]` each."""
        at = 2 * (layer_idx - self._first_block)
        return self._exchange(key, at), self._exchange(value, at + 1)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._longest - self.positions.shape[1]

    def _exchange(self, new: torch.Tensor, at: int) -> torch.Tensor:
        rows, heads, _, head_dim = new.shape
        padded = new.new_zeros(rows, heads, self._longest, head_dim)
        for row in range(rows):
            self._slots[row][at].copy_(new[row])
            start = 0
            for part in (*(segment[at] for segment in self._shared[row]), self._tails[row][at]):
                padded[row, :, start : start + part.shape[1]] = part
                start += part.shape[1]
        return padded

    def visible(self) -> torch.Tensor:
        """`[rows, 1, n, longest]`, true where a query may look."""
        keys = torch.arange(self._longest, device=self.positions.device)
        return (keys <= self.positions[:, :, None])[:, None]

    def filled(self) -> torch.Tensor:
        """`[rows, longest]`, 1 where a lane has a token."""
        lengths = torch.tensor(self._lengths, device=self.positions.device)
        return (torch.arange(self._longest, device=lengths.device) < lengths[:, None]).long()


def block_arguments(step: PaddedStep, config: PretrainedConfig, dtype: torch.dtype) -> dict[str, Any]:
    """`attention_mask` and `alibi` as the family's own model would build them for this batch."""
    lowest = torch.finfo(dtype).min
    visible = step.visible()
    additive = torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~visible, lowest)
    heads = int(config.num_attention_heads)
    if config.model_type == "bloom":
        positions = torch.arange(visible.shape[-1], device=visible.device, dtype=torch.float32)
        alibi = _slopes(heads).to(visible.device)[:, None, None] * positions
        return {"attention_mask": additive, "alibi": alibi.repeat(visible.shape[0], 1, 1).to(dtype)}
    if not config.alibi:
        return {"attention_mask": additive, "alibi": None}
    # The stock model folds ALiBi, scaled like the scores, into the mask of its SDPA path.
    alibi = build_alibi_tensor(step.filled(), heads, dtype)
    biases = alibi.view(visible.shape[0], heads, 1, -1) / math.sqrt(config.hidden_size // heads)
    return {"attention_mask": biases.masked_fill(~visible, lowest), "alibi": alibi}


def _slopes(heads: int) -> torch.Tensor:
    """One slope per head: a geometric sequence from `2^(-8/n)`, interleaved where `heads` is no power of two (ALiBi,
    arXiv 2108.12409)."""
    power = 2 ** math.floor(math.log2(heads))
    base = 2.0 ** -(2.0 ** -(math.log2(power) - 3))
    slopes = [base**i for i in range(1, power + 1)]
    extra = 2.0 ** -(2.0 ** -(math.log2(2 * power) - 3))
    slopes += [extra**i for i in range(1, 2 * (heads - power) + 1, 2)]
    return torch.tensor(slopes, dtype=torch.float32)
