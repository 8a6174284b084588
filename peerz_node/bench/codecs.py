"""Bytes per activation for each codec, and what coding costs in time."""

from __future__ import annotations

import time

import torch

from compute.types import Codec, WireDType
from compute.wire.codecs import decode, encode
from peerz_node.bench.record import Figure, median_figure

_ROUNDS = 200
_WIDTHS = (576, 4096)


def codec_figures() -> list[Figure]:
    """Bytes of one token's activation against fp16, and microseconds to encode and decode one."""
    figures = []
    for width in _WIDTHS:
        hidden = torch.randn(1, width, generator=torch.Generator().manual_seed(width))
        hidden[0, 3] = 22_500.0  # a massive activation, as real models have
        for codec, dtype in ((Codec.RAW, WireDType.FP32), (Codec.RAW, WireDType.FP16), (Codec.BLOCK8, WireDType.FP32)):
            name = f"{codec.name.lower()} {dtype.name.lower()}, width {width}"
            size = len(encode(hidden, codec, dtype).data)
            target = 0.53 if codec is Codec.BLOCK8 and width == 4096 else None
            figures.append(Figure(f"bytes per activation against fp16: {name}", size / (2 * width), "x", target))
            figures.append(median_figure(f"encode and decode: {name}", _coding_us(hidden, codec, dtype), "us"))
    return figures


def _coding_us(hidden: torch.Tensor, codec: Codec, dtype: WireDType) -> list[float]:
    taken = []
    for _ in range(_ROUNDS):
        started_s = time.perf_counter()
        decode(encode(hidden, codec, dtype))
        taken.append((time.perf_counter() - started_s) * 1e6)
    return taken
