"""A span of blocks, loaded and ready for the runner."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PretrainedConfig

from compute.models.families import Family
from compute.types import Precision, Span


@dataclass(frozen=True, slots=True)
class LoadedSpan:
    """Blocks `[span.start, span.end)` of a model, in `eval` mode, on `device`, frozen (none requires a gradient).

    Args:
        config: the whole model's text config; `_attn_implementation` is what the runner registered.
        blocks: `blocks[i]` is block `span.start + i`; every attention module carries the *global* `layer_idx`.
        rotary: the family's rotary embedding, in fp32; None for families without one.
        dtype: of the hidden states between blocks (the residual stream).
        kv_dtype: of keys and values in the cache.
        kv_heads: key/value heads per block, same for all blocks.
        head_dim: width of one key (and value) head.
        precision: how the weights are held; never `AUTO`.
        quant_spec: precision with its parameters, as declared to peers, for example `int8(threshold=6.0)`.
        numeric_profile: compute, accumulate and residual dtypes, for example `fp32/fp32/fp32`.
        model_root: root of the manifest that the weights were checked against; 32 bytes.
        weight_bytes: bytes that the blocks' parameters and buffers occupy.
    """

    config: PretrainedConfig
    family: Family
    span: Span
    blocks: torch.nn.ModuleList
    rotary: torch.nn.Module | None
    device: torch.device
    dtype: torch.dtype
    kv_dtype: torch.dtype
    kv_heads: int
    head_dim: int
    precision: Precision
    quant_spec: str
    numeric_profile: str
    model_root: bytes
    weight_bytes: int

    @property
    def width(self) -> int:
        return int(self.config.hidden_size)

    @property
    def n_blocks_of_model(self) -> int:
        return int(self.config.num_hidden_layers)

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of cache that one token takes in all blocks of the span."""
        return 2 * len(self.span) * self.kv_heads * self.head_dim * self.kv_dtype.itemsize
