"""Terms follow from what is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from compute.models.loading import load_span
from compute.models.sources import ModelFiles
from compute.models.span import LoadedSpan
from compute.server.service_options import ServiceOptions
from compute.server.serving_terms import kernel_class, lossless_dtypes, terms_of
from compute.types import Codec, Row, Span, StepHeader, WireDType
from compute.wire.codecs import encode
from compute.wire.limits import WireLimits
from compute.wire.messages import StepMessage, build_client_message

KEY, NETWORK = b"p" * 32, bytes(32)


@pytest.fixture
def loaded(saved: Callable[[str], ModelFiles]) -> LoadedSpan:
    return load_span(saved("llama"), Span(1, 3))


def test_terms_say_what_is_loaded(loaded: LoadedSpan) -> None:
    terms = terms_of(loaded, KEY, NETWORK, ServiceOptions())
    assert (terms.span, terms.width, terms.model_root) == (Span(1, 3), loaded.width, loaded.model_root)
    assert (terms.quant_spec, terms.numeric_profile) == (loaded.quant_spec, loaded.numeric_profile)
    assert terms.kernel_class.isprintable()


def test_the_largest_step_that_is_promised_fits_into_a_message(loaded: LoadedSpan) -> None:
    small = ServiceOptions(wire=WireLimits(message_bytes_max=100_000))
    terms = terms_of(loaded, KEY, NETWORK, small)
    assert 1 <= terms.step_tokens_max < WireLimits().step_tokens_max
    hidden = encode(torch.zeros(terms.step_tokens_max, terms.width), Codec.RAW, WireDType.FP32)
    rows = tuple(Row(lane, 0, 0) for lane in range(1, terms.lanes_max))
    header = StepHeader(0, (Row(0, 0, terms.step_tokens_max), *rows), tuple(range(terms.lanes_max)))
    assert len(build_client_message(StepMessage(header, hidden))) <= terms.message_bytes_max <= 100_000


def test_small_models_do_not_make_us_hold_large_messages(loaded: LoadedSpan) -> None:
    assert terms_of(loaded, KEY, NETWORK, ServiceOptions()).message_bytes_max < WireLimits().message_bytes_max // 8


@pytest.mark.parametrize(
    ("residual", "expected"),
    [
        (torch.float32, {WireDType.FP32}),
        (torch.bfloat16, {WireDType.BF16, WireDType.FP32}),
        (torch.float16, {WireDType.FP16, WireDType.FP32}),
    ],
)
def test_only_wire_types_without_loss_are_taken(residual: torch.dtype, expected: set[WireDType]) -> None:
    assert lossless_dtypes(residual) == expected


def test_terms_follow_the_residual_type(loaded: LoadedSpan) -> None:
    narrow = terms_of(replace(loaded, dtype=torch.bfloat16), KEY, NETWORK, ServiceOptions())
    assert narrow.dtypes == {WireDType.BF16, WireDType.FP32}


def test_a_cpu_names_its_instructions() -> None:
    assert kernel_class(torch.device("cpu")).startswith("cpu/")
