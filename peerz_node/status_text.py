"""A swarm's overview for people: a bar of blocks, a table of providers, the route with its costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from peerz_node.overview import ModelView, coverage_bar, spans_text
from peerz_node.sizes import format_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType


def renderables(view: ModelView) -> Iterator[RenderableType]:
    """What to print for one model, from top to bottom."""
    from rich.text import Text

    yield Text(f"{view.name}  ({view.n_blocks} blocks, manifest {view.root[:16]})", style="bold")
    yield _bar(view)
    if view.providers:
        yield _providers(view)
    if view.route is not None:
        yield from _route(view)


def _bar(view: ModelView) -> RenderableType:
    from rich.text import Text

    text = Text("blocks  [")
    for cell in coverage_bar(view.replicas):
        text.append(cell, style="red" if cell == "·" else "green")
    text.append("]  ")
    if view.missing:
        text.append(f"nobody serves {spans_text(view.missing)}", style="red")
    elif view.replicas:
        text.append(f"all served, by at least {min(view.replicas)}")
    return text


def _providers(view: ModelView) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("peer", "blocks", "state", "precision"):
        table.add_column(heading, no_wrap=True)
    for heading in ("round trip", "step", "prefill", "queue", "sessions", "cache free"):
        table.add_column(heading, justify="right", no_wrap=True)
    for p in sorted(view.providers, key=lambda p: (p.span, p.peer_id)):
        table.add_row(
            f"…{p.peer_id[-8:]}",
            str(p.span),
            p.state,
            p.precision,
            "no answer" if p.rtt_ms is None else f"{p.rtt_ms:.1f} ms",
            f"{p.decode_ms:.1f} ms",
            f"{p.prefill_tokens_s:.0f}/s",
            f"{p.queue_ms:.1f} ms",
            str(p.sessions),
            format_bytes(p.cache_bytes_free),
        )
    return table


def _route(view: ModelView) -> Iterator[RenderableType]:
    from rich.text import Text

    if not view.route:
        yield Text(f"no route: nobody serves {spans_text(view.missing) or 'a chain that can be joined'}", style="red")
        return
    total = f", {view.route_ms:.1f} ms per token" if view.route_ms is not None else ""
    yield Text(f"route of a client here, now{total}:")
    for hop in view.route:
        costs = f"round trip {hop.rtt_ms:.1f} ms, queue {hop.queue_ms:.1f} ms, compute {hop.compute_ms:.1f} ms"
        notes = f"  ({', '.join(hop.notes)})" if hop.notes else ""
        yield Text(f"  {hop.span!s:>8}  …{hop.peer[-8:]}  {costs}{notes}")
