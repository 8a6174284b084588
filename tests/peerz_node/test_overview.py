from __future__ import annotations

import json
from io import StringIO

import pytest

from compute.swarm.routing import RouteRow
from compute.types import PeerId, Span
from peerz_node.overview import ModelView, ProviderView, coverage_bar, spans_text
from peerz_node.status_text import renderables

HOP = RouteRow(PeerId("12D3KooAAAAAAAA"), Span(0, 5), 1.0, 0.0, 20.5, 12.0, ("part of 0:9",))


def provider(start: int, end: int, *, rtt_ms: float | None = 1.25) -> ProviderView:
    return ProviderView(
        peer_id=f"12D3KooPeer{start:02}{end:02}",
        span=Span(start, end),
        state="online",
        precision="fp32",
        decode_ms=20.0,
        prefill_tokens_s=400.0,
        queue_ms=0.5,
        sessions=1,
        cache_bytes_free=2**30,
        rtt_ms=rtt_ms,
    )


def half(*, rtt_ms: float | None = 1.25, route: tuple[RouteRow, ...] | None = None) -> ModelView:
    """Ten blocks, of which one provider serves the first five."""
    replicas = (1,) * 5 + (0,) * 5
    return ModelView("tiny", "ab" * 32, 10, (provider(0, 5, rtt_ms=rtt_ms),), replicas, (Span(5, 10),), route, None)


def whole(route: tuple[RouteRow, ...] | None = None) -> ModelView:
    return ModelView("tiny", "ab" * 32, 10, (provider(0, 10),), (1,) * 10, (), route, 21.5)


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


def test_json_is_plain_and_complete() -> None:
    data = json.loads(json.dumps(half(route=(HOP,)).as_json()))
    assert data["missing"] == [[5, 10]]
    assert data["covered"] is False
    assert data["replicas"] == [1] * 5 + [0] * 5
    assert data["providers"][0]["span"] == [0, 5]
    assert data["route"] == [
        {
            "peer": "12D3KooAAAAAAAA",
            "span": [0, 5],
            "rtt_ms": 1.0,
            "queue_ms": 0.0,
            "compute_ms": 20.5,
            "prefill_ms": 12.0,
            "notes": ["part of 0:9"],
        }
    ]


def rendered(swarm: ModelView) -> str:
    from rich.console import Console

    file = StringIO()
    console = Console(file=file, width=140)
    for part in renderables(swarm):
        console.print(part)
    return file.getvalue()


def test_text_names_what_is_missing() -> None:
    text = rendered(half(rtt_ms=None, route=()))
    assert "[11111·····]  nobody serves 5:10" in text
    assert "no answer" in text
    assert "no route: nobody serves 5:10" in text


def test_text_explains_a_route() -> None:
    text = rendered(whole(route=(HOP,)))
    assert "all served, by at least 1" in text
    assert "21.5 ms per token" in text
    assert "0:5  …AAAAAAAA  round trip 1.0 ms, queue 0.0 ms, compute 20.5 ms  (part of 0:9)" in text


def test_spans_are_listed_as_people_write_them() -> None:
    assert spans_text([Span(0, 2), Span(5, 7)]) == "0:2, 5:7"
