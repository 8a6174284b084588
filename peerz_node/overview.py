"""What a swarm looks like, as plain data: who serves which blocks of a model, what is missing, and the best route."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from compute.swarm.routing import RouteRow
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
class ModelView:
    """One model in the swarm.

    Args:
        replicas: for each block, how many providers serve it now.
        missing: the maximal runs of blocks that nobody serves now.
        route: None when it was not asked for; empty when there is none.
        route_ms: expected milliseconds per token on that route.
    """

    name: str
    root: str
    n_blocks: int
    providers: tuple[ProviderView, ...]
    replicas: tuple[int, ...]
    missing: tuple[Span, ...]
    route: tuple[RouteRow, ...] | None = None
    route_ms: float | None = None

    def as_json(self) -> dict[str, Any]:
        """For `status --json`: spans as `[start, end]`."""
        return {
            "model": self.name,
            "model_root": self.root,
            "n_blocks": self.n_blocks,
            "covered": not self.missing,
            "missing": [[span.start, span.end] for span in self.missing],
            "replicas": list(self.replicas),
            "providers": [_plain(asdict(provider)) for provider in self.providers],
            "route": None if self.route is None else [_plain(asdict(row)) for row in self.route],
            "route_ms": self.route_ms,
        }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "span": [values["span"]["start"], values["span"]["end"]]}


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
