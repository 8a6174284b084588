"""Linear layers held in fewer bits: from fp32 weights to named tensors, and from those to a module that computes.

The way through named tensors is the only one, so a span that was quantised just now and one that comes out of the
cache are the same bits. Quantising happens on the CPU, whatever the device: providers with different cards hold equal
weights.
`bitsandbytes` is imported when it is first needed: it takes seconds.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from compute.types import Precision

Parts = Mapping[str, torch.Tensor]
"""What a quantised layer consists of, apart from its bias: short name -> tensor."""

INT8_THRESHOLD = 6.0
"""Activations at least this large stay out of int8 (LLM.int8, https://arxiv.org/abs/2208.07339)."""
NF4_BLOCK = 64
"""Weights that share a scale."""

_INT8_MAX = 127.0
# torch's kernel reads beyond the row for any other number of columns, and crashes on operands that do not start at such
# an address, as views of a mapped file seldom do.
_PACK_COLUMNS = 16
_PACK_ALIGNMENT_BYTES = 64


@dataclass(frozen=True, slots=True)
class LinearFormat:
    """One way of holding a linear layer.

    Args:
        quantise: parts of an fp32 weight `[out, in]` on the CPU.
        build: a module that computes with `parts`, given the layer that it replaces (its sizes and bias; its weight may
            be on the meta device).
    """

    quantise: Callable[[torch.Tensor], Parts]
    build: Callable[[torch.nn.Linear, Parts], torch.nn.Module]


class Int8PackedLinear(torch.nn.Module):
    """`y = x W^T + b`, W in int8 with one bf16 scale per output; multiplied in bf16, summed in fp32.

    Takes and returns the dtype of `x`; the product itself is rounded to bf16.
    """

    def __init__(self, replaced: torch.nn.Linear, parts: Parts) -> None:
        super().__init__()
        self.in_features, self.out_features = replaced.in_features, replaced.out_features
        self.bias = replaced.bias
        self.weight: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("weight", _aligned(parts["weight"]))
        self.register_buffer("scale", _aligned(parts["scale"]))
        self._padding = self.weight.shape[1] - self.in_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, self.in_features).to(torch.bfloat16, copy=True)
        if self._padding:
            rows = functional.pad(rows, (0, self._padding))
        y = torch._weight_int8pack_mm(rows, self.weight, self.scale).to(x.dtype)
        if self.bias is not None:
            y = y + self.bias
        return y.view(*x.shape[:-1], self.out_features)


def _aligned(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone() if tensor.data_ptr() % _PACK_ALIGNMENT_BYTES else tensor


def _quantise_packed(weight: torch.Tensor) -> Parts:
    """Symmetric int8 per output, `in` padded with zeros to what the kernel can read."""
    scale = (weight.abs().amax(1) / _INT8_MAX).to(torch.bfloat16)
    # Divided by the scale as it is stored: its own rounding then costs nothing. A row of zeros has no scale.
    steps = weight / scale.float().clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    values = steps.round().clamp(-_INT8_MAX, _INT8_MAX).to(torch.int8)
    padding = -values.shape[1] % _PACK_COLUMNS
    return {"weight": functional.pad(values, (0, padding)).contiguous(), "scale": scale}


def _quantise_int8(weight: torch.Tensor) -> Parts:
    values, scale, _ = _bitsandbytes().functional.int8_vectorwise_quant(weight.to(torch.float16))
    return {"weight": values, "scale": scale}


def _build_int8(replaced: torch.nn.Linear, parts: Parts) -> torch.nn.Module:
    bnb = _bitsandbytes()
    module: Any = bnb.nn.Linear8bitLt(
        replaced.in_features,
        replaced.out_features,
        bias=replaced.bias is not None,
        has_fp16_weights=False,
        threshold=INT8_THRESHOLD,
        device="meta",
    )
    values, scale = parts["weight"], parts["scale"]
    module.weight = bnb.nn.Int8Params(values, requires_grad=False, has_fp16_weights=False, CB=values, SCB=scale)
    module.bias = replaced.bias
    return module  # type: ignore[no-any-return]


def _quantise_nf4(weight: torch.Tensor) -> Parts:
    packed, state = _bitsandbytes().functional.quantize_4bit(
        weight.contiguous(), blocksize=NF4_BLOCK, compress_statistics=False, quant_type="nf4"
    )
    return {"weight": packed, "scale": state.absmax}


def _build_nf4(replaced: torch.nn.Linear, parts: Parts) -> torch.nn.Module:
    bnb = _bitsandbytes()
    packed, shape = parts["weight"], (replaced.out_features, replaced.in_features)
    module: Any = bnb.nn.Linear4bit(
        shape[1],
        shape[0],
        bias=replaced.bias is not None,
        compute_dtype=torch.float32,
        compress_statistics=False,
        quant_type="nf4",
        device="meta",
    )
    state = bnb.functional.QuantState(
        absmax=parts["scale"],
        shape=torch.Size(shape),
        code=bnb.functional.get_4bit_type("nf4", device=packed.device),
        blocksize=NF4_BLOCK,
        quant_type="nf4",
        dtype=torch.float32,
    )
    module.weight = bnb.nn.Params4bit(
        packed,
        requires_grad=False,
        quant_state=state,
        blocksize=NF4_BLOCK,
        compress_statistics=False,
        quant_type="nf4",
        bnb_quantized=True,
        module=module,
    )
    module.quant_state = state
    module.bias = replaced.bias
    # Its kernel for CPUs with bf16 would multiply in bf16, which is not what we declare.
    module.support_avx512bf16_for_cpu = False
    return module  # type: ignore[no-any-return]


@functools.cache
def _bitsandbytes() -> Any:
    # It warns on every call with fp32 input, and on import of kernels that it can do without.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import bitsandbytes

    return bitsandbytes


FORMATS: dict[Precision, LinearFormat] = {
    Precision.INT8: LinearFormat(_quantise_int8, _build_int8),
    Precision.INT8_CPU: LinearFormat(_quantise_packed, Int8PackedLinear),
    Precision.NF4: LinearFormat(_quantise_nf4, _build_nf4),
}
