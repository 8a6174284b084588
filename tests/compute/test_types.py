from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.types import Row, Span, StepHeader, StepKind

spans = st.tuples(st.integers(0, 200), st.integers(1, 50)).map(lambda pair: Span(pair[0], pair[0] + pair[1]))


@pytest.mark.parametrize(("start", "end"), [(3, 3), (4, 2), (-1, 2)])
def test_an_empty_or_negative_span_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="START:END"):
        Span(start, end)


@pytest.mark.parametrize("text", ["", "3", "a:b", "3:", ":4", "-1:2", "1:2:3", "9999999:10000000", "5:5"])
def test_text_that_is_no_span_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ValueError, match="START:END"):
        Span.parse(text)


@given(spans)
def test_a_span_survives_its_own_text(span: Span) -> None:
    assert Span.parse(str(span)) == span
    assert Span.parse(f" {span.start} : {span.end} ") == span


@given(spans, spans)
def test_overlap_and_cover_agree_with_sets_of_blocks(a: Span, b: Span) -> None:
    blocks_a, blocks_b = set(range(a.start, a.end)), set(range(b.start, b.end))
    assert a.overlaps(b) == bool(blocks_a & blocks_b)
    assert a.covers(b) == (blocks_b <= blocks_a)
    assert len(a) == len(blocks_a)
    assert all(block in a for block in blocks_a)


def test_a_step_of_single_tokens_is_decode_and_any_longer_row_makes_it_prefill() -> None:
    decode = StepHeader(0, (Row(0, 5, 1), Row(1, 9, 1)))
    prefill = StepHeader(0, (Row(0, 5, 1), Row(1, 9, 2)))
    assert decode.kind is StepKind.DECODE
    assert prefill.kind is StepKind.PREFILL
    assert (prefill.n_tokens, prefill.position) == (3, 5)
