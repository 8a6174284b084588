"""What a swarm looks like, as plain data: who serves which blocks of a model, what is missing, and the best route."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from compute.types import Span


@dataclass(frozen=True, slots=True)
class ProviderView:
    """One provider, as its signed record and our own ping say. `rtt_ms` None: it did not answer."""

    peer_id: str
    span: Span
    state: str
    precision: str
    decode_ms: float
    prefill_tokens_s: float
    queue_ms: float
    sessions: int
    cache_bytes_free: int
    rtt_ms: float | None
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HopView:
    """One hop of the planned route and what a token costs there, in milliseconds."""

    peer_id: str
    span: Span
    parts_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model in the swarm.

    Args:
        route: None when it was not asked for; empty when there is none.
    """

    name: str
    root: str
    n_blocks: int
    providers: tuple[ProviderView, ...]
    route: tuple[HopView, ...] | None = None
    route_ms: float | None = None

    @property
    def replicas(self) -> tuple[int, ...]:
        """For each block, how many providers serve it now."""
        counts = [0] * self.n_blocks
        for provider in self.providers:
            if provider.state == "online":
                for block in range(provider.span.start, min(provider.span.end, self.n_blocks)):
                    counts[block] += 1
        return tuple(counts)

    @property
    def missing(self) -> tuple[Span, ...]:
        return missing_spans(self.replicas)

    def as_json(self) -> dict[str, Any]:
        """For `status --json`: spans as `[start, end]`."""
        route = None if self.route is None else [_plain(asdict(hop)) for hop in self.route]
        return {
            "model": self.name,
            "model_root": self.root,
            "n_blocks": self.n_blocks,
            "covered": not self.missing,
            "missing": [[span.start, span.end] for span in self.missing],
            "replicas": list(self.replicas),
            "providers": [_plain(asdict(provider)) for provider in self.providers],
            "route": route,
            "route_ms": self.route_ms,
        }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "span": [values["span"]["start"], values["span"]["end"]]}


def missing_spans(replicas: Sequence[int]) -> tuple[Span, ...]:
    """The maximal runs of blocks that nobody serves."""
    spans: list[Span] = []
    start = 0
    for block, count in enumerate([*replicas, 1]):
        if count:
            if start < block:
                spans.append(Span(start, block))
            start = block + 1
    return tuple(spans)


def coverage_bar(replicas: Sequence[int], width: int = 60) -> str:
    """One character per block, or per group of blocks when there are more than `width`: how many providers serve it.

    `·` nobody, `1` to `9`, `+` for more. A group shows its worst block, for that is the one that stops a route.
    """
    cells = min(len(replicas), width)
    edges = [len(replicas) * i // cells for i in range(cells + 1)] if cells else [0]
    worst = (min(replicas[a:b]) for a, b in pairwise(edges))
    return "".join("·" if n == 0 else str(n) if n < 10 else "+" for n in worst)


def spans_text(spans: Iterable[Span]) -> str:
    return ", ".join(str(span) for span in spans)
