"""The terms that a loaded span is served on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from compute.models.span import LoadedSpan
from compute.server.service_options import ServiceOptions
from compute.server.terms import ServedTerms
from compute.types import Codec, WireDType
from compute.wire.codecs import TORCH_DTYPES, WIRE_DTYPES

_MESSAGE_OVERHEAD_BYTES = 64 << 10
"""Rows, fork and framing of a step with the most lanes."""


def terms_of(loaded: LoadedSpan, public_key: bytes, network_id: bytes, options: ServiceOptions) -> ServedTerms:
    """What sessions on `loaded` have in common."""
    dtypes = lossless_dtypes(loaded.dtype)
    token_bytes = loaded.width * max(TORCH_DTYPES[dtype].itemsize for dtype in dtypes)
    room = options.wire.message_bytes_max - _MESSAGE_OVERHEAD_BYTES
    step_tokens_max = max(1, min(options.wire.step_tokens_max, room // token_bytes))
    return ServedTerms(
        provider_key=public_key,
        network_id=network_id,
        model_root=loaded.model_root,
        span=loaded.span,
        width=loaded.width,
        quant_spec=loaded.quant_spec,
        numeric_profile=loaded.numeric_profile,
        kernel_class=kernel_class(loaded.device),
        codecs=frozenset(Codec),
        dtypes=dtypes,
        lanes_max=options.wire.lanes_max,
        context_max=options.wire.context_max,
        step_tokens_max=step_tokens_max,
        message_bytes_max=step_tokens_max * token_bytes + _MESSAGE_OVERHEAD_BYTES,
    )


def lossless_dtypes(residual: torch.dtype) -> frozenset[WireDType]:
    """Wire types that hold hidden states of type `residual` exactly."""
    return frozenset({WIRE_DTYPES[residual], WireDType.FP32})


def kernel_class(device: torch.device) -> str:
    """Which family of kernels computes here: results of one class differ less from each other than from others'."""
    if device.type == "cuda":
        return f"cuda/{torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        return f"cpu/{platform.machine()}/{torch.backends.cpu.get_cpu_capability()}".lower()
    return device.type


def agent() -> str:
    """Software and version, as records show it."""
    try:
        return f"peerz/{version('peerz')}"
    except PackageNotFoundError:
        return "peerz/unknown"
