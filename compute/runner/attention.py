"""Attention over every lane's own keys and values, as a function registered with transformers' attention interface.

Tokens of all lanes travel side by side through the stock blocks as one sequence `(1, tokens, width)`; norms,
projections and MLPs do not care. Only attention must keep lanes apart: it writes the new keys and values into each
lane's buffer and attends lane by lane over views of it. A loop, because lanes have different lengths, and nothing that
pads or gathers is faster on a CPU. Lanes that share a prefix read it together (`shared_prefix`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from compute.runner.cache import LaneCache
from compute.runner.shared_prefix import attend_shared

ATTENTION_NAME = "peerz_lanes"

_current = threading.local()


class PackedStep:
    """One batch: `n_tokens[i]` new tokens of `lanes[i]`, from block `first_block` on. Lanes have grown already."""

    def __init__(
        self, lanes: Sequence[LaneCache], n_tokens: Sequence[int], first_block: int, device: torch.device
    ) -> None:
        self.n_tokens = list(n_tokens)
        self.first_block = first_block
        positions = [torch.arange(lane.length, lane.length + n) for lane, n in zip(lanes, n_tokens, strict=True)]
        self.positions = torch.cat(positions)[None].to(device)
        self.past = [lane.length for lane in lanes]
        self._slots = [lane.slots(n) for lane, n in zip(lanes, n_tokens, strict=True)]
        self._tails = [lane.views(n) for lane, n in zip(lanes, n_tokens, strict=True)]
        self._shared = [lane.shared_views() for lane in lanes]
        self.prefix_groups = _rows_by_prefix(self._shared)
        self._masks: dict[tuple[int, int, int, int | None], torch.Tensor] = {}

    def write(self, block: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Stores `[1, kv_heads, tokens, head_dim]` of block `block` (numbered in the model) in the lanes."""
        at = 2 * (block - self.first_block)
        torch._foreach_copy_(
            [slots[at + part] for part in (0, 1) for slots in self._slots],
            [piece[0] for tensor in (key, value) for piece in tensor.split(self.n_tokens, 2)],
        )

    def keys_and_values(self, block: int, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        """All tokens of a row's lane, the new ones included: two of `[kv_heads, tokens, head_dim]`."""
        at = 2 * (block - self.first_block)
        tail = self._tails[row]
        shared = self._shared[row]
        if not shared:
            return tail[at], tail[at + 1]
        keys = torch.cat([*(segment[at] for segment in shared), tail[at]], 1)
        values = torch.cat([*(segment[at + 1] for segment in shared), tail[at + 1]], 1)
        return keys, values

    def prefix(self, block: int, row: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The read-only pieces that the row's lane begins with."""
        at = 2 * (block - self.first_block)
        return [(segment[at], segment[at + 1]) for segment in self._shared[row]]

    def tail(self, block: int, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What follows the prefix: the lane's own tokens, the new ones included."""
        at = 2 * (block - self.first_block)
        return self._tails[row][at], self._tails[row][at + 1]

    def causal_mask(self, n_tokens: int, past: int, groups: int, window: int | None) -> torch.Tensor:
        """`[groups * n_tokens, past + n_tokens]`, true where a query may look; one for all blocks of the step."""
        key = (n_tokens, past, groups, window)
        if key not in self._masks:
            mask = torch.ones(n_tokens, past + n_tokens, dtype=torch.bool, device=self.positions.device).tril(past)
            if window is not None:
                mask = mask.triu(past - window + 1)
            self._masks[key] = mask.repeat(groups, 1)
        return self._masks[key]


@contextmanager
def current_step(step: PackedStep) -> Iterator[None]:
    """Makes `step` the one that attention works for on this thread: some families hand no extra arguments on."""
    _current.step = step
    try:
        yield
    finally:
        _current.step = None


def lanes_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """Called by a block's attention with `[1, heads, tokens, head_dim]`; returns `[1, tokens, heads, head_dim]`."""
    step: PackedStep = _current.step
    block: int = module.layer_idx
    step.write(block, key, value)
    queries = query[0].split(step.n_tokens, 1)
    outputs: dict[int, torch.Tensor] = {}
    if step.prefix_groups and softcap is None and s_aux is None:
        outputs = _attend_over_prefixes(step, block, queries, scaling, sliding_window)
    for row, q in enumerate(queries):
        if row not in outputs:
            k, v = step.keys_and_values(block, row)
            outputs[row] = _attend(step, row, (q, k, v), _Scores(scaling, softcap, s_aux), sliding_window)
    joined = outputs[0] if len(queries) == 1 else torch.cat([outputs[row] for row in range(len(queries))], 1)
    return joined.transpose(0, 1)[None].contiguous(), None


def _rows_by_prefix(shared: Sequence[Sequence[tuple[torch.Tensor, ...]]]) -> list[list[int]]:
    """Rows that begin with the same read-only pieces, together; rows without any are left out."""
    groups: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for row, pieces in enumerate(shared):
        if pieces:
            groups.setdefault(tuple((piece[0].data_ptr(), piece[0].shape[1]) for piece in pieces), []).append(row)
    return list(groups.values())


def _attend_over_prefixes(
    step: PackedStep, block: int, queries: Sequence[torch.Tensor], scaling: float | None, window: int | None
) -> dict[int, torch.Tensor]:
    """Outputs, in the shape of their queries, of the rows whose lanes share a prefix that they see whole."""
    outputs: dict[int, torch.Tensor] = {}
    for group in step.prefix_groups:
        rows = [row for row in group if window is None or step.past[row] + step.n_tokens[row] <= window]
        if not rows:
            continue
        prefix = step.prefix(block, rows[0])
        kv_heads = prefix[0][0].shape[0]
        tails = [step.tail(block, row) for row in rows]
        folded, masks = [], []
        for row, (keys, _) in zip(rows, tails, strict=True):
            heads, n, head_dim = queries[row].shape
            folded.append(queries[row].reshape(kv_heads, -1, head_dim))
            masks.append(None if n == 1 else step.causal_mask(n, keys.shape[1] - n, heads // kv_heads, None))
        scale = scaling if scaling is not None else queries[rows[0]].shape[-1] ** -0.5
        for row, out in zip(rows, attend_shared(folded, prefix, tails, masks, scale), strict=True):
            outputs[row] = out.reshape(queries[row].shape[0], step.n_tokens[row], -1)
    return outputs


class _Scores(NamedTuple):
    """What a family does to attention scores: their scale, the bound of Gemma 2, the sinks `[heads]` of GPT-OSS."""

    scaling: float | None
    softcap: float | None
    sinks: torch.Tensor | None


def _attend(
    step: PackedStep,
    row: int,
    qkv: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    scores: _Scores,
    window: int | None,
) -> torch.Tensor:
    """One row: `q` `[heads, n, head_dim]` over `k`, `v` `[kv_heads, length, head_dim]`. Returns the shape of `q`.

    Query heads that share a key head are folded into the query's tokens, so that keys are never repeated.
    """
    q, k, v = qkv
    heads, n, head_dim = q.shape
    kv_heads = k.shape[0]
    groups = heads // kv_heads
    past = step.past[row]
    if window is not None and n == 1 and past + 1 > window:
        k, v = k[:, -window:], v[:, -window:]
    mask = None if n == 1 else step.causal_mask(n, past, groups, window)
    folded = q.reshape(kv_heads, groups * n, head_dim)[None]
    if scores.softcap is not None or scores.sinks is not None:
        out = _plain(folded, k, v, mask, scores)
    else:
        out = scaled_dot_product_attention(folded, k[None], v[None], attn_mask=mask, scale=scores.scaling)
    return out.reshape(heads, n, -1)


def _plain(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, scores: _Scores
) -> torch.Tensor:
    """Attention step by step, for what fused kernels do not know. `q` `[1, kv_heads, groups * n, head_dim]`.

    Logits are squashed into (-softcap, softcap) before the mask; a sink is one more logit per head, whose share of the
    softmax goes nowhere.
    """
    scaling = scores.scaling if scores.scaling is not None else q.shape[-1] ** -0.5
    logits = (q @ k.transpose(1, 2)) * scaling
    if scores.softcap is not None:
        logits = torch.tanh(logits / scores.softcap) * scores.softcap
    if mask is not None:
        logits = logits.masked_fill(~mask, float("-inf"))
    if scores.sinks is not None:
        kv_heads, rows = logits.shape[1:3]
        sinks = scores.sinks.reshape(kv_heads, -1)
        sinks = sinks.repeat_interleave(rows // sinks.shape[1], 1)[None, :, :, None]
        logits = torch.cat([logits, sinks.to(logits.dtype)], -1)
    weights = torch.softmax(logits, -1, dtype=torch.float32)[..., : k.shape[1]]
    return weights.to(q.dtype) @ v


AttentionInterface.register(ATTENTION_NAME, lanes_attention)
