"""Attention of lanes that share a read-only prefix: the prefix is read once for all of them.

Softmax attention over keys A and B is the mean of attention over A and over B, weighted by how much of the softmax
falls on each; the log of the sum of exponentials (LSE) of the scores says how much that is:

    out = out_B + sigmoid(lse_A - lse_B) * (out_A - out_B)

So all queries of all lanes go over the prefix in one call, each lane's queries go over its own tail, and the two are
merged. Exact up to rounding. Source: the online softmax of FlashAttention (arXiv 2205.14135) and FlashDecoding's
reduction over pieces of the keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

KeysAndValues = tuple[torch.Tensor, torch.Tensor]
"""`[kv_heads, tokens, head_dim]` each."""

_HAS_CPU_FLASH = hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu")


def attend_shared(
    queries: Sequence[torch.Tensor],
    prefix: Sequence[KeysAndValues],
    tails: Sequence[KeysAndValues],
    tail_masks: Sequence[torch.Tensor | None],
    scaling: float,
) -> list[torch.Tensor]:
    """Attention of every lane over `prefix` and then its own tail; shapes of `queries`.

    Args:
        queries: `[kv_heads, queries_i, head_dim]` for each lane; query heads of one key head are folded into queries.
        prefix: pieces of the common prefix. Every query sees all of it.
        tails: of each lane, never empty.
        tail_masks: bool `[queries_i, tail_tokens_i]`, true where a query may look; None for all.
    """
    sizes = [q.shape[1] for q in queries]
    together = queries[0] if len(queries) == 1 else torch.cat(list(queries), 1)
    out, lse = attend_with_lse(together, prefix[0], None, scaling)
    for piece in prefix[1:]:
        out, lse = _merge((out, lse), attend_with_lse(together, piece, None, scaling))
    outputs = []
    heads_of_lanes = zip(out.split(sizes, 1), lse.split(sizes, 1), strict=True)
    for q, head, tail, mask in zip(queries, heads_of_lanes, tails, tail_masks, strict=True):
        outputs.append(_merge(head, attend_with_lse(q, tail, mask, scaling))[0])
    return outputs


def attend_with_lse(
    q: torch.Tensor, keys_and_values: KeysAndValues, mask: torch.Tensor | None, scaling: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention `[kv_heads, queries, head_dim]` and the LSE of its scores, `[kv_heads, queries]` fp32.

    The fused CPU kernel gives both; it is no public API, hence the plain form below for everything else.
    """
    if _HAS_CPU_FLASH and q.device.type == "cpu":
        return _fused(q, keys_and_values, mask, scaling)
    return _plain(q, keys_and_values, mask, scaling)


def _fused(
    q: torch.Tensor, keys_and_values: KeysAndValues, mask: torch.Tensor | None, scaling: float
) -> tuple[torch.Tensor, torch.Tensor]:
    keys, values = keys_and_values
    additive = None
    if mask is not None:  # the kernel takes no boolean mask
        additive = torch.zeros(mask.shape, dtype=q.dtype).masked_fill_(~mask, float("-inf"))
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q[None], keys[None], values[None], 0.0, False, attn_mask=additive, scale=scaling
    )
    return out[0], lse[0]


def _plain(
    q: torch.Tensor, keys_and_values: KeysAndValues, mask: torch.Tensor | None, scaling: float
) -> tuple[torch.Tensor, torch.Tensor]:
    keys, values = keys_and_values
    scores = (q @ keys.transpose(1, 2)).float() * scaling
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    lse = scores.logsumexp(-1)
    return torch.exp(scores - lse[..., None]).to(q.dtype) @ values, lse


def _merge(
    a: tuple[torch.Tensor, torch.Tensor], b: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention over the keys of both, from attention over each."""
    weight = torch.sigmoid(a[1] - b[1])[..., None].to(a[0].dtype)
    return torch.lerp(b[0], a[0], weight), torch.logaddexp(a[1], b[1])
