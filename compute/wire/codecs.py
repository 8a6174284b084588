"""Tensors as bytes: raw elements, or dynamic blockwise 8-bit. Hashes are over what these functions write.

BLOCK8 cuts every row into blocks of 64 values (the last may be shorter). A block is one fp16 scale and one signed byte
per value, `value = scale * code`. The scale is `absmax / 127` rounded *up* to fp16 and never below fp16's smallest
normal number, hence

- codes stay within [-127, 127], and the error of a value is at most half a scale;
- the largest code of a block is 127 (fp16's spacing is below 0.1 %), from which the very same scale follows again:
  encoding a decoded tensor gives the same bytes, so a replay from a client's history hashes like the original.

All scales come first, then all codes, both row by row, little-endian. Design 4.2.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

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

    RAW converts to `dtype` and preserves NaN and infinities. BLOCK8 raises BadRequest on them, and on magnitudes beyond
    its range (8.3 million); `dtype` then only says what the receiver should decode to.
    """
    tokens, width = hidden.shape
    if codec is Codec.RAW:
        flat = hidden.detach().to(device="cpu", dtype=TORCH_DTYPES[dtype]).contiguous()
        return EncodedTensor(dtype, codec, tokens, width, flat.view(torch.uint8).numpy().tobytes())
    values = hidden.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy()
    return EncodedTensor(dtype, codec, tokens, width, _encode_block8(values))


def decode(encoded: EncodedTensor) -> torch.Tensor:
    """The tensor `[tokens, width]` in its wire dtype, in memory of its own.

    Raises BadMessage on wrong sizes and on scales that the encoder never writes.
    """
    expected = encoded_size(encoded.codec, encoded.dtype, encoded.tokens, encoded.width)
    if len(encoded.data) != expected:
        raise BadMessage(
            f"a tensor of {encoded.tokens} x {encoded.width} as {encoded.codec.name} has {expected} bytes, "
            f"this one has {len(encoded.data)}"
        )
    torch_dtype = TORCH_DTYPES[encoded.dtype]
    if encoded.tokens == 0:
        return torch.empty(0, encoded.width, dtype=torch_dtype)
    if encoded.codec is Codec.RAW:
        return torch.frombuffer(bytearray(encoded.data), dtype=torch_dtype).view(encoded.tokens, encoded.width)
    return torch.from_numpy(_decode_block8(encoded)).to(torch_dtype)


def tensor_hash(encoded: EncodedTensor) -> bytes:
    """BLAKE2b-256 over the tensor's header and wire bytes. One hop's output hash is the next one's input hash."""
    header = _HEADER.pack(encoded.dtype, encoded.codec, encoded.tokens, encoded.width)
    digest = hashlib.blake2b(header, digest_size=HASH_BYTES, person=b"peerz-tensor")
    digest.update(encoded.data)
    return digest.digest()


def _blocks(width: int) -> int:
    return -(-width // BLOCK)


def _padded(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`[tokens, blocks, 64]`, the last block of each row filled with zeros."""
    tokens, width = values.shape
    missing = _blocks(width) * BLOCK - width
    if missing:
        values = np.pad(values, ((0, 0), (0, missing)))
    return values.reshape(tokens, -1, BLOCK)


def _encode_block8(values: npt.NDArray[np.float32]) -> bytes:
    tokens, width = values.shape
    blocks = _padded(values)
    absmax = np.abs(blocks).max(axis=2).astype(np.float64)
    if tokens and not absmax.max() <= _ABSMAX_MAX:  # also true for NaN
        raise BadRequest("activations with NaN, infinite or huge values cannot travel as BLOCK8; use the raw codec")
    wanted = np.maximum(absmax / 127.0, _SCALE_MIN)
    scales = wanted.astype(np.float16)
    too_small = scales.astype(np.float64) < wanted
    scales[too_small] = np.nextafter(scales[too_small], np.float16(np.inf))
    codes = np.rint(blocks / scales.astype(np.float32)[:, :, None]).astype(np.int8)
    packed: bytes = scales.astype("<f2").tobytes() + codes.reshape(tokens, -1)[:, :width].tobytes()
    return packed


def _decode_block8(encoded: EncodedTensor) -> npt.NDArray[np.float32]:
    n_blocks = _blocks(encoded.width)
    n_scales = encoded.tokens * n_blocks
    scales = np.frombuffer(encoded.data, "<f2", n_scales).astype(np.float32).reshape(encoded.tokens, n_blocks, 1)
    codes = np.frombuffer(encoded.data, np.int8, offset=2 * n_scales).reshape(encoded.tokens, encoded.width)
    if not (scales.min() >= _SCALE_MIN and scales.max() < np.inf):
        raise BadMessage("a BLOCK8 tensor with a scale that is no positive, normal number")
    values = _padded(codes.astype(np.float32)) * scales
    return np.ascontiguousarray(values.reshape(encoded.tokens, -1)[:, : encoded.width])
