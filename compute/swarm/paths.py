"""Shortest paths over block boundaries, for many providers at once. Pure.

From boundary `b` a provider that serves block `b` leads to every boundary up to its own end. Only boundaries at which
some span starts or ends can be worth a change of hop. Edges lead to higher boundaries only, so visiting boundaries in
order settles each once, as Dijkstra's queue would; the providers of an edge are compared as arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compute.types import Span

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Offer:
    """What a provider costs: `hop_s` whatever part of `span` is used, `block_s` per block of it.

    `short_s` comes on top of a hop of more than `blocks_free` blocks.
    """

    span: Span
    hop_s: float
    block_s: float
    short_s: float = 0.0
    blocks_free: float = float("inf")


def boundaries(spans: Sequence[Span], within: Span) -> list[int]:
    """Where hops may begin and end, rising; both ends of `within` included."""
    points = {within.start, within.end}
    for span in spans:
        points.update(point for point in (span.start, span.end) if within.start < point < within.end)
    return sorted(points)


def cheapest_path(offers: Sequence[Offer], within: Span) -> list[tuple[Span, int]] | None:
    """Spans that tile `within`, each with the number of its offer, at the least total seconds; None if none do.

    Of equally cheap edges the first offer wins.
    """
    points = boundaries([offer.span for offer in offers], within)
    start_at, end_at = _column([o.span.start for o in offers]), _column([o.span.end for o in offers])
    hop_s, block_s = _column([o.hop_s for o in offers]), _column([o.block_s for o in offers])
    short_s, blocks_free = _column([o.short_s for o in offers]), _column([o.blocks_free for o in offers])
    best: dict[int, tuple[float, int, int]] = {within.start: (0.0, -1, -1)}
    for at, start in enumerate(points):
        if start not in best:
            continue
        there = np.flatnonzero((start_at <= start) & (end_at > start))
        for end in points[at + 1 :]:
            there = there[end_at[there] >= end]
            if not there.size:
                break
            used = end - start
            edge = hop_s[there] + block_s[there] * used + np.where(used > blocks_free[there], short_s[there], 0.0)
            cheapest = int(edge.argmin())
            total = best[start][0] + float(edge[cheapest])
            if end not in best or total < best[end][0]:
                best[end] = (total, start, int(there[cheapest]))
    if within.end not in best:
        return None
    path: list[tuple[Span, int]] = []
    end = within.end
    while end != within.start:
        _, start, number = best[end]
        path.append((Span(start, end), number))
        end = start
    return path[::-1]


def _column(values: Sequence[float]) -> Floats:
    return np.array(values, dtype=np.float64)
