"""Holding blocks in another precision than the checkpoint's: what each precision means, and how a block gets there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from compute.errors import BadRequest, UnsupportedModel
from compute.models.linears import FORMATS, INT8_THRESHOLD, NF4_BLOCK, Parts
from compute.types import Precision

# Keys of a block's tensors on disk: `plain/NAME`, and `linear/PATH/PART`.
_PLAIN, _LINEAR = "plain", "linear"


@dataclass(frozen=True, slots=True)
class Held:
    """What a precision means for the blocks that hold it; see LoadedSpan for the fields."""

    precision: Precision
    dtype: torch.dtype
    kv_dtype: torch.dtype
    quant_spec: str
    numeric_profile: str


HELD: dict[Precision, Held] = {
    held.precision: held
    for held in (
        Held(Precision.FP32, torch.float32, torch.float32, "fp32", "fp32/fp32/fp32"),
        # Everything in bf16, residual included: the stock model in bf16, bit for bit.
        Held(Precision.BF16, torch.bfloat16, torch.bfloat16, "bf16", "bf16/fp32/bf16"),
        # Large activations meet their (de-quantised) weights in fp32. Which columns are large is decided over all rows
        # of a batch, so a row's result depends a little on its neighbours: within the tolerance that goes with int8.
        Held(
            Precision.INT8,
            torch.float32,
            torch.float32,
            f"int8(threshold={INT8_THRESHOLD})",
            "int8+fp32/int32+fp32/fp32",
        ),
        Held(Precision.INT8_CPU, torch.float32, torch.float32, "int8-cpu(scale=bf16)", "bf16/fp32/fp32"),
        Held(Precision.NF4, torch.float32, torch.float32, f"nf4(block={NF4_BLOCK})", "fp32/fp32/fp32"),
    )
}


def check_precision(precision: Precision, block: torch.nn.Module, device: torch.device) -> None:
    """Raises BadRequest when `device` cannot compute in `precision`, UnsupportedModel when the block cannot be held."""
    if precision is Precision.INT8_CPU and device.type != "cpu":
        raise BadRequest(f"int8-cpu computes on CPUs only, not on {device}; choose --precision int8")
    if precision in FORMATS and any(parameter.ndim > 2 for parameter in block.parameters()):
        raise UnsupportedModel(
            f"this model keeps its experts in fused tensors, which {precision} cannot hold yet; choose bf16 or fp32"
        )


def hold_block(block: torch.nn.Module, precision: Precision, device: torch.device) -> None:
    """Converts an fp32 block on the CPU in place and moves it to `device`."""
    if precision in FORMATS:
        install_block(block, quantise_block(block, precision), precision, device)
    else:
        block.to(device=device, dtype=HELD[precision].dtype)


def quantise_block(block: torch.nn.Module, precision: Precision) -> dict[str, torch.Tensor]:
    """All that the block in `precision` consists of, by the names that `install_block` takes. Leaves it as it is."""
    linears = dict(_linears(block))
    wide = {f"{path}.weight" for path in linears}
    # Copies: one view of the checkpoint's file would keep all of it mapped.
    state = {f"{_PLAIN}/{name}": t.clone() for name, t in block.state_dict().items() if name not in wide}
    for path, linear in linears.items():
        parts = FORMATS[precision].quantise(linear.weight.detach())
        state |= {f"{_LINEAR}/{path}/{part}": tensor.contiguous() for part, tensor in parts.items()}
    return state


def install_block(
    block: torch.nn.Module, tensors: Mapping[str, torch.Tensor], precision: Precision, device: torch.device
) -> None:
    """Fills `block`, which may be on the meta device, with what `quantise_block` gave.

    Raises KeyError or RuntimeError when these are not the tensors of such a block.
    """
    plain = {name.removeprefix(f"{_PLAIN}/"): t.to(device) for name, t in tensors.items() if name.startswith(_PLAIN)}
    missing, unknown = block.load_state_dict(plain, strict=False, assign=True)
    linears = dict(_linears(block))
    if unknown or set(missing) != {f"{path}.weight" for path in linears}:
        raise KeyError(*unknown, *missing)
    for path, linear in linears.items():
        prefix = f"{_LINEAR}/{path}/"
        parts: Parts = {k.removeprefix(prefix): t.to(device) for k, t in tensors.items() if k.startswith(prefix)}
        block.set_submodule(path, FORMATS[precision].build(linear, parts))


def block_bytes(block: torch.nn.Module) -> int:
    """Bytes that a block's weights occupy, scales of quantised layers included."""
    return sum(tensor.numel() * tensor.itemsize for tensor in _held_tensors(block))


def _held_tensors(block: torch.nn.Module) -> Iterator[torch.Tensor]:
    yield from block.parameters()
    yield from block.buffers()
    for module in block.modules():
        # bitsandbytes keeps scales beside its parameters: those of int8 move from the weight to the module's state with
        # the first call.
        weight, state = getattr(module, "weight", None), getattr(module, "state", None)
        scales = (getattr(weight, "SCB", None), getattr(state, "SCB", None))
        yield from (scale for scale in (*scales, _absmax(weight)) if scale is not None)


def _absmax(weight: object) -> torch.Tensor | None:
    absmax: torch.Tensor | None = getattr(getattr(weight, "quant_state", None), "absmax", None)
    return absmax


def _linears(block: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Linear]]:
    for path, module in block.named_modules():
        if isinstance(module, torch.nn.Linear):
            yield path, module
