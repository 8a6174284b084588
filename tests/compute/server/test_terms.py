"""A refused SessionOpen names the field that differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from compute.errors import BadRequest, Moved, SessionMismatch
from compute.server.terms import ServedTerms, check_open
from compute.types import Codec, Span, WireDType
from compute.wire.messages import SessionOpen

Build = Callable[..., SessionOpen]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("network_id", b"x" * 32),
        ("provider_key", b"x" * 32),
        ("model_root", b"x" * 32),
        ("quant_spec", "nf4"),
        ("numeric_profile", "bf16/fp32/bf16"),
        ("dtype", WireDType.FP16),
    ],
)
def test_each_field_that_differs_is_named(terms: ServedTerms, request_of: Build, field: str, value: Any) -> None:
    with pytest.raises(SessionMismatch) as caught:
        check_open(request_of(**{field: value}), terms)
    assert caught.value.field == field


def test_a_codec_that_is_not_served_is_named(terms: ServedTerms, request_of: Build) -> None:
    with pytest.raises(SessionMismatch, match=r"BLOCK8.*serves RAW") as caught:
        check_open(request_of(codec=Codec.BLOCK8), replace(terms, codecs=frozenset({Codec.RAW})))
    assert caught.value.field == "codec"


@pytest.mark.parametrize("span", [Span(2, 6), Span(3, 5), Span(5, 6)])
def test_spans_inside_what_is_served_pass_with_profile_given_or_left_open(
    terms: ServedTerms, request_of: Build, span: Span
) -> None:
    check_open(request_of(span=span), terms)
    check_open(request_of(span=span, quant_spec="fp32", numeric_profile="fp32/fp32/fp32"), terms)


@pytest.mark.parametrize("span", [Span(0, 6), Span(2, 7), Span(6, 8)])
def test_other_spans_are_told_what_is_served_now(terms: ServedTerms, request_of: Build, span: Span) -> None:
    with pytest.raises(Moved) as caught:
        check_open(request_of(span=span), terms)
    assert caught.value.span == terms.span


@pytest.mark.parametrize(("field", "value"), [("lanes", 0), ("lanes", 5), ("max_tokens", 0), ("max_tokens", 257)])
def test_amounts_beyond_a_limit_are_bad_requests(terms: ServedTerms, request_of: Build, field: str, value: int) -> None:
    with pytest.raises(BadRequest, match=field):
        check_open(request_of(**{field: value}), terms)
