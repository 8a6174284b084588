from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from compute.errors import BadRequest, UnsupportedModel
from compute.models.linears import FORMATS
from compute.models.loading import LoadOptions, load_local_model, load_span
from compute.models.precision import HELD, block_bytes, check_precision, hold_block, install_block, quantise_block
from compute.models.sources import ModelFiles
from compute.runner.selftest import self_test
from compute.types import Precision, Span

Saved = Callable[[str], ModelFiles]
CPU = torch.device("cpu")
QUANTISED = sorted(FORMATS)

# Relative L2 error of a product with random operands, about twice what each format shows.
TOLERANCE = {Precision.INT8: 3e-2, Precision.INT8_CPU: 2e-2, Precision.NF4: 2e-1}


def layer(width: int, outputs: int, bias: bool, seed: int = 0) -> torch.nn.Linear:
    torch.manual_seed(seed)
    return torch.nn.Linear(width, outputs, bias=bias).requires_grad_(False)


def quantised(linear: torch.nn.Linear, precision: Precision) -> torch.nn.Module:
    made = FORMATS[precision]
    return made.build(linear, made.quantise(linear.weight)).eval()


def error(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got - expected).norm() / expected.norm().clamp_min(1e-12))


@pytest.mark.parametrize("precision", QUANTISED)
@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(1, 70),
    outputs=st.integers(1, 40),
    rows=st.integers(1, 40),
    bias=st.booleans(),
    seed=st.integers(0, 9),
)
def test_any_shape_of_layer_is_close_to_fp32(
    precision: Precision, width: int, outputs: int, rows: int, bias: bool, seed: int
) -> None:
    linear = layer(width * 8, outputs, bias, seed)
    x = torch.randn(1, rows, width * 8)
    y = quantised(linear, precision)(x)
    assert y.dtype == torch.float32
    assert y.shape == (1, rows, outputs)
    # As a share of what random operands of this size give, as few outputs may happen to cancel.
    typical = x.norm() * linear.weight.norm() / (width * 8) ** 0.5
    assert float((y - linear(x)).norm() / typical) < TOLERANCE[precision] * (2 if outputs * rows < 16 else 1)


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 70), rows=st.integers(1, 20), seed=st.integers(0, 9))
def test_packed_int8_equals_its_naive_twin(width: int, rows: int, seed: int) -> None:
    linear = layer(width, 24, bias=True, seed=seed)
    parts = FORMATS[Precision.INT8_CPU].quantise(linear.weight)
    weight = parts["weight"].float() * parts["scale"].float()[:, None]
    x = torch.randn(rows, width)
    padded = functional.pad(x.to(torch.bfloat16).float(), (0, weight.shape[1] - width))
    naive = functional.linear(padded, weight).to(torch.bfloat16).float() + linear.bias
    assert error(quantised(linear, Precision.INT8_CPU)(x), naive) < 5e-3
    assert (weight[:, :width] - linear.weight).abs().amax() <= 0.51 * parts["scale"].float().amax()


@pytest.mark.parametrize("offset_bytes", [1, 8, 16, 40])
def test_packed_int8_computes_with_weights_at_any_address(offset_bytes: int) -> None:
    """torch's kernel crashes on operands that a mapped file puts at odd addresses."""
    linear = layer(64, 32, bias=False)
    parts = dict(FORMATS[Precision.INT8_CPU].quantise(linear.weight))
    room = torch.empty(64 + offset_bytes + parts["weight"].numel(), dtype=torch.int8)
    start = -room.data_ptr() % 64 + offset_bytes
    view = room[start : start + parts["weight"].numel()].view_as(parts["weight"])
    parts["weight"] = view.copy_(parts["weight"])
    x = torch.randn(17, 64)
    assert torch.equal(FORMATS[Precision.INT8_CPU].build(linear, parts)(x), quantised(linear, Precision.INT8_CPU)(x))


@pytest.mark.parametrize("precision", QUANTISED)
def test_rows_of_zeros_and_large_activations_stay_finite(precision: Precision) -> None:
    linear = layer(64, 32, bias=False)
    linear.weight[3] = 0
    x = torch.randn(5, 64)
    x[2, 7] = 20_000.0
    x[4] = 0
    y = quantised(linear, precision)(x)
    assert torch.isfinite(y).all()
    assert torch.equal(y[:, 3], torch.zeros(5))
    assert error(y, linear(x)) < TOLERANCE[precision]


def test_int8_keeps_large_activations_out_of_the_quantised_product() -> None:
    """LLM.int8: one huge value must not cost the small ones of its row their precision."""
    linear = layer(256, 64, bias=False)
    x = torch.randn(6, 256)
    x[:, 9] *= 1000
    without = x.clone()
    without[:, 9] = 0
    got = quantised(linear, Precision.INT8)(x)
    held = quantised(linear, Precision.INT8)(functional.one_hot(torch.tensor([9]), 256).float() * 1000)
    small = got - x[:, 9:10] / 1000 * held
    assert error(small, linear(without)) < 5e-2


@pytest.mark.parametrize("precision", QUANTISED)
def test_a_block_installed_from_its_parts_is_the_block_that_was_held(precision: Precision, saved: Saved) -> None:
    fresh, held = (load_span(saved("qwen2"), Span(0, 1)).blocks[0] for _ in range(2))
    parts = quantise_block(fresh, precision)
    hold_block(held, precision, CPU)
    empty = load_span(saved("qwen2"), Span(0, 1)).blocks[0].to("meta")
    install_block(empty, parts, precision, CPU)
    x = torch.randn(1, 5, 32)
    for path in ("self_attn.q_proj", "mlp.down_proj"):
        y = torch.randn(1, 5, empty.get_submodule(path).in_features)
        assert torch.equal(empty.get_submodule(path)(y), held.get_submodule(path)(y))
    assert torch.equal(empty.input_layernorm(x), held.input_layernorm(x))
    assert block_bytes(empty) == block_bytes(held) == sum(t.nbytes for t in parts.values())


@pytest.mark.parametrize("spoil", ["linear/mlp.up_proj/weight", "plain/input_layernorm.weight"])
def test_parts_of_another_block_are_not_installed(spoil: str, saved: Saved) -> None:
    block = load_span(saved("llama"), Span(0, 1)).blocks[0]
    parts = quantise_block(block, Precision.INT8_CPU)
    with pytest.raises((KeyError, RuntimeError)):
        install_block(block, {k: v for k, v in parts.items() if k != spoil}, Precision.INT8_CPU, CPU)


@pytest.mark.parametrize("precision", [Precision.FP32, *QUANTISED])
@pytest.mark.parametrize("variant", ["llama", "gpt_neox", "falcon", "bloom"])
def test_every_precision_passes_the_start_up_self_test(variant: str, precision: Precision, saved: Saved) -> None:
    loaded = load_span(saved(variant), Span(0, 2), LoadOptions(precision=precision))
    report = self_test(loaded)
    assert max(report.errors.values()) <= report.tolerance
    assert loaded.precision is precision
    assert loaded.quant_spec == HELD[precision].quant_spec
    assert loaded.quant_spec.startswith(precision.value)


def test_every_precision_declares_itself_under_a_name_of_its_own() -> None:
    assert set(HELD) == set(Precision) - {Precision.AUTO}
    assert len({held.quant_spec for held in HELD.values()}) == len(HELD)
    assert all(held.numeric_profile.count("/") == 2 for held in HELD.values())


@pytest.mark.parametrize("variant", ["llama", "gemma2", "mixtral", "falcon-new", "bloom"])
def test_bf16_is_the_stock_model_in_bf16_bit_for_bit(variant: str, saved: Saved) -> None:
    loaded = load_span(saved(variant), Span(1, 2), LoadOptions(precision=Precision.BF16))
    stock = load_local_model(saved(variant), torch.bfloat16).get_submodule(loaded.family.blocks)[1].state_dict()
    got = loaded.blocks[0].state_dict()
    assert got.keys() == stock.keys()
    assert all(torch.equal(got[name], tensor) for name, tensor in stock.items())
    assert loaded.dtype == loaded.kv_dtype == torch.bfloat16


def test_fewer_bits_take_fewer_bytes(saved: Saved) -> None:
    size = {p: load_span(saved("llama"), Span(0, 2), LoadOptions(precision=p)).weight_bytes for p in HELD}
    ordered = [Precision.FP32, Precision.BF16, Precision.INT8, Precision.NF4]
    assert sorted(ordered, key=lambda p: -size[p]) == ordered


@pytest.mark.parametrize("variant", ["mixtral", "qwen3_moe"])
@pytest.mark.parametrize("precision", QUANTISED)
def test_fused_experts_are_refused_rather_than_left_wide(variant: str, precision: Precision, saved: Saved) -> None:
    with pytest.raises(UnsupportedModel, match="choose bf16 or fp32"):
        load_span(saved(variant), Span(0, 1), LoadOptions(precision=precision))


def test_the_cpu_format_is_refused_on_other_devices() -> None:
    with pytest.raises(BadRequest, match="CPUs only"):
        check_precision(Precision.INT8_CPU, torch.nn.Linear(2, 2), torch.device("cuda"))
