"""What the tests of the provider's service share: terms, requests, steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from compute.server.terms import ServedTerms
from compute.types import Codec, Row, SessionId, Span, StepHeader, WireDType
from compute.wire.codecs import EncodedTensor
from compute.wire.messages import SessionOpen, StepMessage

WIDTH = 8


@pytest.fixture
def terms() -> ServedTerms:
    return ServedTerms(
        provider_key=b"p" * 32,
        network_id=bytes(32),
        model_root=b"m" * 32,
        span=Span(2, 6),
        width=WIDTH,
        quant_spec="fp32",
        numeric_profile="fp32/fp32/fp32",
        kernel_class="cpu",
        codecs=frozenset({Codec.RAW, Codec.BLOCK8}),
        dtypes=frozenset({WireDType.FP32}),
        lanes_max=4,
        context_max=256,
        step_tokens_max=32,
        message_bytes_max=1 << 16,
    )


@pytest.fixture
def request_of(terms: ServedTerms) -> Callable[..., SessionOpen]:
    """Builds a SessionOpen that the terms allow, with fields replaced."""

    def build(**changes: Any) -> SessionOpen:
        request = SessionOpen(
            session_id=SessionId(b"s" * 16),
            client_key=b"c" * 32,
            provider_key=terms.provider_key,
            network_id=terms.network_id,
            model_root=terms.model_root,
            span=terms.span,
            codec=Codec.RAW,
            dtype=WireDType.FP32,
            lanes=2,
            max_tokens=64,
        )
        return replace(request, **changes)

    return build


@pytest.fixture
def step_of() -> Callable[..., StepMessage]:
    """Builds a step of zeros for rows, with fields of its tensor replaced."""

    def build(
        seq: int, rows: tuple[Row, ...] = (Row(0, 0, 3),), fork: tuple[int, ...] = (), **changes: Any
    ) -> StepMessage:
        header = StepHeader(seq, rows, fork)
        data = bytes(4 * WIDTH * min(header.n_tokens, 1000))
        return StepMessage(
            header, replace(EncodedTensor(WireDType.FP32, Codec.RAW, header.n_tokens, WIDTH, data), **changes)
        )

    return build
