from __future__ import annotations

import math
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from compute.errors import BadMessage, BadRequest
from compute.types import Codec, WireDType
from compute.wire.codecs import TORCH_DTYPES, EncodedTensor, decode, encode, encoded_size, tensor_hash

FP16_MIN_NORMAL = 2.0**-14


@st.composite
def activations(draw: st.DrawFn, width_max: int = 300) -> torch.Tensor:
    """Hidden states as models have them: noise of any magnitude, quiet blocks, a massive activation here and there."""
    tokens, width = draw(st.integers(1, 4)), draw(st.integers(1, width_max))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    hidden = torch.randn(tokens, width, generator=generator) * 10.0 ** draw(st.integers(-9, 4))
    for _ in range(draw(st.integers(0, 3))):
        token, channel = draw(st.integers(0, tokens - 1)), draw(st.integers(0, width - 1))
        hidden[token, channel] = draw(st.sampled_from([22_500.0, -22_500.0, 0.0, 1e-30, 8e6, -1.0]))
    if draw(st.booleans()):
        hidden[:, : draw(st.integers(0, width))] = 0.0
    return hidden


def naive_block8(rows: list[list[float]]) -> bytes:
    """BLOCK8 straight from its description: one block, one value at a time."""
    scales, codes = b"", b""
    for row in rows:
        for start in range(0, len(row), 64):
            block = row[start : start + 64]
            wanted = max(max(abs(value) for value in block) / 127, FP16_MIN_NORMAL)
            packed = struct.pack("<e", wanted)
            if struct.unpack("<e", packed)[0] < wanted:  # the next fp16 up has the next bit pattern
                packed = struct.pack("<H", struct.unpack("<H", packed)[0] + 1)
            scales += packed
            scale = struct.unpack("<e", packed)[0]
            codes += b"".join(struct.pack("<b", int(np.rint(np.float32(v) / np.float32(scale)))) for v in block)
    return scales + codes


def block_bounds(hidden: torch.Tensor) -> torch.Tensor:
    """The most that BLOCK8 may change each value: half a scale that is rounded up to fp16."""
    bounds = torch.empty_like(hidden)
    for start in range(0, hidden.shape[1], 64):
        absmax = hidden[:, start : start + 64].abs().amax(dim=1, keepdim=True)
        bounds[:, start : start + 64] = torch.clamp(absmax / 127 * (1 + 2**-10), min=FP16_MIN_NORMAL) / 2
    return bounds * (1 + 1e-5)


# ---------------------------------------------------------------- raw


@pytest.mark.parametrize("dtype", WireDType)
@given(hidden=activations())
def test_raw_preserves_every_bit_of_its_dtype(dtype: WireDType, hidden: torch.Tensor) -> None:
    wanted = hidden.clamp(-60_000, 60_000).to(TORCH_DTYPES[dtype])
    assert torch.equal(decode(encode(wanted, Codec.RAW, dtype)), wanted)


@pytest.mark.parametrize("dtype", WireDType)
def test_raw_preserves_nan_and_infinities(dtype: WireDType) -> None:
    hidden = torch.tensor([[math.nan, math.inf, -math.inf, 1.0]])
    back = decode(encode(hidden, Codec.RAW, dtype)).float()
    assert torch.equal(back, hidden) or torch.equal(back.nan_to_num(7.0), hidden.nan_to_num(7.0))


@pytest.mark.parametrize(("dtype", "value"), [(WireDType.FP16, 70_000.0), (WireDType.BF16, 3.4e38)])
def test_raw_refuses_to_make_an_infinity_of_a_finite_value(dtype: WireDType, value: float) -> None:
    with pytest.raises(BadRequest, match="fp32"):
        encode(torch.tensor([[1.0, value]]), Codec.RAW, dtype)


def test_raw_is_little_endian_and_row_major() -> None:
    encoded = encode(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), Codec.RAW, WireDType.FP32)
    assert encoded.data == struct.pack("<4f", 1, 2, 3, 4)


# ---------------------------------------------------------------- block8


@given(activations(width_max=150))
def test_block8_writes_what_the_naive_twin_writes(hidden: torch.Tensor) -> None:
    assert encode(hidden, Codec.BLOCK8, WireDType.FP32).data == naive_block8(hidden.tolist())


@given(activations())
def test_block8_changes_no_value_by_more_than_half_a_scale(hidden: torch.Tensor) -> None:
    error = (decode(encode(hidden, Codec.BLOCK8, WireDType.FP32)) - hidden).abs()
    assert (error <= block_bounds(hidden)).all()


def test_block8_keeps_a_massive_activation_from_hurting_other_blocks() -> None:
    hidden = torch.randn(1, 576, generator=torch.Generator().manual_seed(0))
    hidden[0, 200] = 22_500.0
    back = decode(encode(hidden, Codec.BLOCK8, WireDType.FP32))
    others = torch.ones(576, dtype=torch.bool)
    others[192:256] = False
    error = (back - hidden)[0, others].norm() / hidden[0, others].norm()
    assert error < 0.012
    assert abs(back[0, 200] - 22_500) / 22_500 < 1e-3


@given(activations(), st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))
def test_block8_of_a_decoded_tensor_is_the_same_bytes(hidden: torch.Tensor, held_as: torch.dtype) -> None:
    held = hidden.to(held_as)
    assume(bool(torch.isfinite(held).all()))
    first = encode(held, Codec.BLOCK8, WireDType.BF16)
    assert encode(decode(first), Codec.BLOCK8, WireDType.BF16) == first


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 8.4e6])
@pytest.mark.parametrize("channel", [0, 63, 64, 99])
def test_block8_refuses_what_it_cannot_hold(value: float, channel: int) -> None:
    hidden = torch.ones(3, 100)
    hidden[1, channel] = value
    with pytest.raises(BadRequest, match="raw"):
        encode(hidden, Codec.BLOCK8, WireDType.FP32)


def test_block8_takes_its_whole_range() -> None:
    hidden = torch.full((1, 64), 127 * 65504.0)
    assert torch.equal(decode(encode(hidden, Codec.BLOCK8, WireDType.FP32)), hidden)


def test_block8_takes_at_most_053_of_fp16_at_width_4096() -> None:
    assert len(encode(torch.randn(1, 4096), Codec.BLOCK8, WireDType.FP32).data) <= 0.53 * 2 * 4096


# ---------------------------------------------------------------- hostile bytes


@pytest.mark.parametrize("scale", [0x0000, 0x0001, 0x03FF, 0x7C00, 0x7E00, 0x8400, 0xFC00, 0xFE01])
def test_scales_that_no_encoder_writes_are_refused(scale: int) -> None:
    data = struct.pack("<2H", 0x3C00, scale) + bytes([127]) * 128
    with pytest.raises(BadMessage, match="scale"):
        decode(EncodedTensor(WireDType.FP32, Codec.BLOCK8, 1, 128, data))


@pytest.mark.parametrize("codes", [[5, 126], [-128, 127], [-128, 0]])
def test_codes_that_no_encoder_writes_are_refused(codes: list[int]) -> None:
    data = struct.pack("<e2b", 1.0, *codes)
    with pytest.raises(BadMessage, match="largest code"):
        decode(EncodedTensor(WireDType.FP32, Codec.BLOCK8, 1, 2, data))


@given(data=st.data(), hidden=activations(width_max=130))
def test_altered_block8_bytes_are_refused_or_are_some_tensors_own(data: st.DataObject, hidden: torch.Tensor) -> None:
    encoded = encode(hidden, Codec.BLOCK8, WireDType.FP32)
    altered = bytearray(encoded.data)
    for _ in range(data.draw(st.integers(1, 3))):
        altered[data.draw(st.integers(0, len(altered) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    forged = replace(encoded, data=bytes(altered))
    try:
        decoded = decode(forged)
    except BadMessage:
        return
    assert encode(decoded, Codec.BLOCK8, WireDType.FP32) == forged


@given(
    codec=st.sampled_from(Codec),
    dtype=st.sampled_from(WireDType),
    tokens=st.integers(0, 2**32 - 1),
    width=st.integers(0, 2**20),
    data=st.binary(max_size=200),
)
def test_any_header_with_any_bytes_is_a_tensor_of_that_shape_or_a_typed_error(
    codec: Codec, dtype: WireDType, tokens: int, width: int, data: bytes
) -> None:
    try:
        decoded = decode(EncodedTensor(dtype, codec, tokens, width, data))
    except BadMessage:
        return
    assert decoded.shape == (tokens, width)


# ---------------------------------------------------------------- both


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("dtype", WireDType)
@pytest.mark.parametrize(("tokens", "width"), [(0, 576), (1, 1), (1, 63), (2, 64), (3, 65), (5, 576)])
def test_size_and_shape_are_what_the_header_says(codec: Codec, dtype: WireDType, tokens: int, width: int) -> None:
    encoded = encode(torch.randn(tokens, width), codec, dtype)
    assert len(encoded.data) == encoded_size(codec, dtype, tokens, width)
    decoded = decode(encoded)
    assert decoded.shape == (tokens, width)
    assert decoded.dtype == (TORCH_DTYPES[dtype] if codec is Codec.RAW else torch.float32)


@pytest.mark.parametrize("codec", Codec)
def test_views_and_tensors_with_gradients_are_encoded_as_their_values(codec: Codec) -> None:
    hidden = torch.randn(100, 6, requires_grad=True).t()
    plain = hidden.detach().clone().contiguous()
    assert encode(hidden, codec, WireDType.FP32) == encode(plain, codec, WireDType.FP32)


@pytest.mark.parametrize("codec", Codec)
def test_a_decoded_tensor_may_be_written_to(codec: Codec) -> None:
    hidden = torch.full((2, 64), 127.0)
    encoded = encode(hidden, codec, WireDType.FP32)
    decode(encoded).fill_(5.0)
    assert torch.equal(decode(encoded), hidden)


def test_the_hash_is_over_the_header_too() -> None:
    encoded = EncodedTensor(WireDType.FP32, Codec.RAW, 2, 2, bytes(16))
    others = [
        replace(encoded, dtype=WireDType.FP16),
        replace(encoded, codec=Codec.BLOCK8),
        replace(encoded, tokens=1),
        replace(encoded, width=1),
        replace(encoded, data=bytes(15) + b"\x01"),
    ]
    assert len({tensor_hash(t) for t in (encoded, *others)}) == 6
