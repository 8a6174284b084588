"""Governance for people: tables with bars, and the weights over time as a drawing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from chain_client.account import address_of
from chain_client.consensus import BPS, PPM
from peerz_node.wallet.amounts import bar, format_amount, percent, printable
from peerz_node.wallet.governance import History, Roles, TallyView

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_BAR = 24
_STRIP = 60
_FILLS = "█▓▒░▚▞╳┼"
_STYLES = ("cyan", "green", "yellow", "magenta", "blue", "red", "white", "bright_black")


def roles_text(view: Roles) -> Iterator[RenderableType]:
    """The weights in force."""
    from rich.text import Text

    table = _table(("role", "kind"), ("weight", "scarcity", "paid now"), "", ("floor", "ceiling", "least bond"))
    for role in view.roles:
        table.add_row(
            printable(role.name) + ("" if role.terms.enabled else " (off)"),
            role.kind.value.lower(),
            percent(role.weight),
            f"x{role.multiplier / PPM:.2f}",
            percent(role.effective),
            Text(bar(role.effective, PPM, _BAR), style="cyan"),
            percent(role.terms.floor, 0),
            percent(role.terms.ceiling, 0),
            format_amount(role.terms.min_bond),
        )
    yield table
    yield Text(f"epoch {view.epoch}; the next review is in epoch {view.next_review}")


def tally_text(view: TallyView) -> Iterator[RenderableType]:
    """What would be decided now, and why."""
    from rich.text import Text

    table = _table(("role",), ("now", "median", "target", "next", "change"), "")
    for role, median, target, following in view.rows():
        table.add_row(
            printable(role.name),
            percent(role.weight),
            percent(median * PPM // BPS),
            percent(target),
            percent(following),
            f"{(following - role.weight) * 100 / PPM:+.2f}",
            Text(bar(following, PPM, _BAR), style="cyan"),
        )
    yield table
    found = view.outcome
    share = found.counted * 100 / found.eligible if found.eligible else 0
    verdict = "enough" if found.quorum_met else "too little: the weights stay"
    yield Text(
        f"{format_amount(found.counted)} of {format_amount(found.eligible)} locked are counted, {share:.1f} % "
        f"of at least {view.quorum / 100:g} %: {verdict}"
    )
    yield Text(f"the review is held in epoch {view.next_review}, now it is {view.epoch}")
    if view.voters:
        voters = _table(
            ("voter",), ("locked", f"counted (at most {view.voter_cap / 100:g} % each, of enough voters)"), ""
        )
        most = max(voter.locked for voter in view.voters)
        for voter in view.voters:
            counted = format_amount(voter.counted) if voter.counts else "nothing: expired or taken back"
            voters.add_row(
                address_of(voter.account),
                format_amount(voter.locked),
                counted,
                Text(bar(voter.counted, most, _BAR), style="green"),
            )
        yield voters


def history_text(view: History) -> Iterator[RenderableType]:
    """Each review as a strip, cut in proportion to the weights."""
    from rich.text import Text

    if not view.reviews:
        yield Text("no review was held yet")
        return
    legend = Text("")
    for position, name in enumerate(view.names):
        fill, style = _look(position)
        legend.append(fill * 2, style=style)
        legend.append(f" {name}   ")
    yield legend
    for number, record in view.reviews:
        line = Text(f"review {number:>4}  epoch {record.epoch:>6}  ")
        for position, cells in enumerate(_cells(record.weights)):
            fill, style = _look(position)
            line.append(fill * cells, style=style)
        line.append("" if record.quorum_met else "  no quorum")
        yield line
    _, last = view.reviews[-1]
    yield Text(", ".join(f"{name} {percent(weight)}" for name, weight in zip(view.names, last.weights, strict=False)))


def _cells(weights: tuple[int, ...]) -> list[int]:
    """How many characters of the strip each weight takes; they fill it."""
    edges, total = [0], 0
    for weight in weights:
        total += weight
        edges.append(round(total * _STRIP / PPM))
    return [end - start for start, end in pairwise(edges)]


def _look(position: int) -> tuple[str, str]:
    return _FILLS[position % len(_FILLS)], _STYLES[position % len(_STYLES)]


def _table(left: tuple[str, ...], right: tuple[str, ...], bars: str, more: tuple[str, ...] = ()) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in left:
        table.add_column(heading, no_wrap=True)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(bars, no_wrap=True, min_width=_BAR)
    for heading in more:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
