from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.types import Span
from peerz_node.overview import HopView, ModelView, ProviderView, coverage_bar, missing_spans, spans_text
from peerz_node.status_text import renderables


def provider(start: int, end: int, *, state: str = "online", rtt_ms: float | None = 1.25) -> ProviderView:
    return ProviderView(
        peer_id=f"12D3KooPeer{start:02}{end:02}",
        span=Span(start, end),
        state=state,
        precision="fp32",
        decode_ms=20.0,
        prefill_tokens_s=400.0,
        queue_ms=0.5,
        sessions=1,
        cache_bytes_free=2**30,
        rtt_ms=rtt_ms,
    )


def view(*providers: ProviderView, route: tuple[HopView, ...] | None = None) -> ModelView:
    return ModelView("tiny", "ab" * 32, 10, providers, route, None)


@given(st.lists(st.integers(0, 3), max_size=40))
def test_missing_spans_are_exactly_the_blocks_without_a_provider(replicas: list[int]) -> None:
    spans = missing_spans(replicas)
    blocks = [block for span in spans for block in range(span.start, span.end)]
    assert blocks == [block for block, n in enumerate(replicas) if n == 0]
    assert all(a.end < b.start for a, b in pairwise(spans))


@pytest.mark.parametrize(
    ("replicas", "width", "bar"),
    [
        ([], 10, ""),
        ([1, 0, 2, 12], 10, "1·2+"),
        ([1, 1, 0, 1, 3, 2], 3, "1·2"),
        ([1] * 100, 60, "1" * 60),
    ],
)
def test_a_bar_shows_the_worst_block_of_each_cell(replicas: list[int], width: int, bar: str) -> None:
    assert coverage_bar(replicas, width) == bar


def test_only_providers_that_are_online_count() -> None:
    swarm = view(provider(0, 4), provider(2, 10, state="leaving"), provider(3, 99))
    assert swarm.replicas == (1, 1, 1, 2, 1, 1, 1, 1, 1, 1)
    assert view(provider(2, 5)).missing == (Span(0, 2), Span(5, 10))


def test_json_is_plain_and_complete() -> None:
    hop = HopView("12D3", Span(0, 5), {"compute": 3.0})
    data = json.loads(json.dumps(view(provider(0, 5), route=(hop,)).as_json()))
    assert data["missing"] == [[5, 10]]
    assert data["covered"] is False
    assert data["providers"][0]["span"] == [0, 5]
    assert data["route"] == [{"peer_id": "12D3", "span": [0, 5], "parts_ms": {"compute": 3.0}}]


def rendered(swarm: ModelView) -> str:
    from io import StringIO

    from rich.console import Console

    console = Console(file=StringIO(), width=140)
    for part in renderables(swarm):
        console.print(part)
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def test_text_names_what_is_missing() -> None:
    text = rendered(view(provider(0, 5, rtt_ms=None), route=()))
    assert "[11111·····]  nobody serves 5:10" in text
    assert "no answer" in text
    assert "no route: nobody serves 5:10" in text


def test_text_explains_a_route() -> None:
    hops = (HopView("12D3KooAAAAAAAA", Span(0, 10), {"round trip": 1.0, "compute": 20.5}),)
    text = rendered(view(provider(0, 10), route=hops))
    assert "all served, by at least 1" in text
    assert "0:10  …AAAAAAAA  round trip 1.0 ms, compute 20.5 ms" in text


def test_spans_are_listed_as_people_write_them() -> None:
    assert spans_text([Span(0, 2), Span(5, 7)]) == "0:2, 5:7"
