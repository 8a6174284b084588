"""Holding a span's weights in another precision than the checkpoint's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PretrainedConfig

from compute.types import Precision


@dataclass(frozen=True, slots=True)
class Held:
    """What a span of blocks has become; see LoadedSpan for the fields."""

    precision: Precision
    dtype: torch.dtype
    kv_dtype: torch.dtype
    quant_spec: str
    numeric_profile: str


def hold(blocks: torch.nn.ModuleList, config: PretrainedConfig, precision: Precision, device: torch.device) -> Held:
    """Converts fp32 `blocks` in place and moves them to `device`."""
    if precision is Precision.BF16:
        blocks.to(device=device, dtype=torch.bfloat16)
        return Held(precision, torch.bfloat16, torch.bfloat16, "bf16", "bf16/fp32/bf16")
    blocks.to(device)
    return Held(Precision.FP32, torch.float32, torch.float32, "fp32", "fp32/fp32/fp32")
