"""Tensors as bytes: raw elements, or dynamic blockwise 8-bit. Hashes are over what these functions write.

BLOCK8 cuts every row into blocks of 64 values (the last may be shorter). A block is one fp16 scale and one signed byte
per value, `value = scale * code`. The scale is `absmax / 127` rounded *up* to fp16 and never below fp16's smallest
normal number, hence

- codes stay within [-127, 127], and the error of a value is at most half a scale;
- the largest code of a block is 127 (fp16's spacing is below 0.1 %), from which the very same scale follows again;
- `scale * code` has 18 significant bits and is exact in fp32: encoding a decoded tensor gives the same bytes, so that a
  replay from a client's history hashes like the original.

The decoder refuses every block that the encoder would not have written. Bytes and tensors thus correspond one to one,
whoever wrote them: a provider cannot send an answer whose replay has another hash.

All scales come first, then all codes, both row by row, little-endian. Design 4.2.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from compute.errors import BadMessage, BadRequest
from compute.types import HASH_BYTES, Codec, WireDType

BLOCK = 64
_SCALE_MIN = float(np.finfo(np.float16).smallest_normal)
_ABSMAX_MAX = 127.0 * float(np.finfo(np.float16).max)
_HEADER = struct.Struct("<BBII")

TORCH_DTYPES = {WireDType.FP32: torch.float32, WireDType.FP16: torch.float16, WireDType.BF16: torch.bfloat16}
WIRE_DTYPES = {torch_dtype: wire_dtype for wire_dtype, torch_dtype in TORCH_DTYPES.items()}


@dataclass(frozen=True, slots=True)
class EncodedTensor:
    """A tensor `[tokens, width]` as it stands on the wire. `data` has exactly `encoded_size(...)` bytes."""

    dtype: WireDType
    codec: Codec
    tokens: int
    width: int
    data: bytes


def encoded_size(codec: Codec, dtype: WireDType, tokens: int, width: int) -> int:
    """Bytes that the tensor takes on the wire."""
    if codec is Codec.RAW:
        return tokens * width * TORCH_DTYPES[dtype].itemsize
    return tokens * (width + 2 * _blocks(width))


def encode(hidden: torch.Tensor, codec: Codec, dtype: WireDType) -> EncodedTensor:
    """`hidden` `[tokens, width]`, any float dtype and device, as `codec` writes it.

    RAW converts to `dtype` and preserves NaN and infinities; it raises BadRequest where the conversion would make an
    infinity of a finite value. BLOCK8 raises BadRequest on NaN, infinities and magnitudes beyond its range (8.3
    million); its `dtype` is what the session agreed on and changes no byte of `data`.
    """
    tokens, width = hidden.shape
    if codec is Codec.RAW:
        return EncodedTensor(dtype, codec, tokens, width, _encode_raw(hidden.detach(), TORCH_DTYPES[dtype]))
    values = hidden.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy()
    return EncodedTensor(dtype, codec, tokens, width, _encode_block8(values))


def decode(encoded: EncodedTensor) -> torch.Tensor:
    """The tensor `[tokens, width]` on the CPU, in memory of its own: RAW in its wire dtype, BLOCK8 in fp32.

    Needs memory in proportion to `data`, whatever the header says. Raises BadMessage on wrong sizes and on BLOCK8 bytes
    that no encoder writes.
    """
    expected = encoded_size(encoded.codec, encoded.dtype, encoded.tokens, encoded.width)
    if len(encoded.data) != expected:
        raise BadMessage(
            f"a tensor of {encoded.tokens} x {encoded.width} as {encoded.codec.name} has {expected} bytes, "
            f"this one has {len(encoded.data)}"
        )
    raw = encoded.codec is Codec.RAW
    torch_dtype = TORCH_DTYPES[encoded.dtype] if raw else torch.float32
    if expected == 0:
        return torch.empty(encoded.tokens, encoded.width, dtype=torch_dtype)
    if raw:
        return torch.frombuffer(bytearray(encoded.data), dtype=torch_dtype).view(encoded.tokens, encoded.width)
    return torch.from_numpy(_decode_block8(encoded))


def tensor_hash(encoded: EncodedTensor) -> bytes:
    """BLAKE2b-256 over the tensor's header and wire bytes. One hop's output hash is the next one's input hash."""
    header = _HEADER.pack(encoded.dtype, encoded.codec, encoded.tokens, encoded.width)
    digest = hashlib.blake2b(header, digest_size=HASH_BYTES, person=b"peerz-tensor")
    digest.update(encoded.data)
    return digest.digest()


def _blocks(width: int) -> int:
    return -(-width // BLOCK)


def _encode_raw(hidden: torch.Tensor, dtype: torch.dtype) -> bytes:
    elements = hidden.to(device="cpu", dtype=dtype).contiguous()
    narrower = dtype is not torch.float32 and hidden.dtype is not dtype
    if narrower and torch.isinf(elements).any() and not torch.isinf(hidden).any():
        raise BadRequest(f"activations beyond the range of {dtype} cannot travel as such; open the session with fp32")
    return elements.view(torch.uint8).numpy().tobytes()


def _block_views(values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """`values` `[tokens, width]` as `[tokens, blocks, 64]` and, if some are left, `[tokens, 1, rest]`: views of it."""
    tokens, width = values.shape
    whole = width - width % BLOCK
    views = [values[:, :whole].reshape(tokens, -1, BLOCK)] if whole else []
    if whole < width:
        views.append(values[:, whole:].reshape(tokens, 1, width - whole))
    return views


def _scale_views(scales: npt.NDArray[np.float32], width: int) -> list[npt.NDArray[np.float32]]:
    """`scales` `[tokens, blocks]`, parted like `_block_views` and ready to be broadcast over each block's values."""
    n_whole = width // BLOCK
    views = [scales[:, :n_whole, None]] if n_whole else []
    if n_whole < scales.shape[1]:
        views.append(scales[:, n_whole:, None])
    return views


def _absmax(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The largest magnitude of every block, `[tokens, blocks]`; NaN where a block has one."""
    parts = [
        np.maximum(view.max(axis=2).astype(np.float64), -view.min(axis=2).astype(np.float64))
        for view in _block_views(values)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _encode_block8(values: npt.NDArray[np.float32]) -> bytes:
    if values.size == 0:
        return b""
    absmax = _absmax(values)
    if not absmax.max() <= _ABSMAX_MAX:  # also true for NaN
        raise BadRequest("activations with NaN, infinite or huge values cannot travel as BLOCK8; use the raw codec")
    wanted = np.maximum(absmax / 127.0, _SCALE_MIN)
    scales = wanted.astype(np.float16)
    too_small = scales < wanted
    scales[too_small] = np.nextafter(scales[too_small], np.float16(np.inf))
    codes = np.empty(values.shape, np.int8)
    parts = zip(_block_views(values), _scale_views(scales.astype(np.float32), values.shape[1]), strict=True)
    for (block, scale), target in zip(parts, _block_views(codes), strict=True):
        quotient = block / scale
        target[...] = np.rint(quotient, out=quotient)
    return scales.astype("<f2", copy=False).tobytes() + codes.tobytes()


def _decode_block8(encoded: EncodedTensor) -> npt.NDArray[np.float32]:
    tokens, width = encoded.tokens, encoded.width
    n_scales = tokens * _blocks(width)
    scales = np.frombuffer(encoded.data, "<f2", n_scales).astype(np.float32).reshape(tokens, -1)
    codes = np.frombuffer(encoded.data, np.int8, offset=2 * n_scales).reshape(tokens, width)
    if not (scales.min() >= _SCALE_MIN and scales.max() < np.inf):  # also true for NaN
        raise BadMessage("a BLOCK8 tensor with a scale that is no positive, normal number")
    largest = _absmax(codes)
    if not ((largest == 127) | ((scales == _SCALE_MIN) & (largest < 127))).all():
        raise BadMessage("a BLOCK8 tensor with a block whose largest code is not 127: no encoder wrote that")
    values = codes.astype(np.float32)
    for block, scale in zip(_block_views(values), _scale_views(scales, width), strict=True):
        np.multiply(block, scale, out=block)
    return values
