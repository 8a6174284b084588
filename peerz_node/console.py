"""Where a command speaks to people: results on stdout, everything else on stderr, progress only on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from compute.models.progress import Progress, silent

if TYPE_CHECKING:
    from rich.console import Console


_PIPE_WIDTH = 160
"""Columns where no terminal says how wide it is: tables must not be cut in a pipe."""


def stdout_console() -> Console:
    from rich.console import Console

    # No markup: names come from peers and chains.
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress_display(*, enabled: bool = True) -> Iterator[Progress]:
    """A callback that shows a bar per `what` on a terminal, elsewhere a line when each begins; nothing when disabled.

    Bars vanish at the end: what stays on the screen is what the command says about the result.
    """
    if not enabled:
        yield silent
        return
    console = stderr_console()
    if not console.is_terminal:
        yield _lines()
        return
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Bars(*columns, TimeRemainingColumn(compact=True), console=console, transient=True) as bars:
        tasks: dict[str, int] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = int(bars.add_task(what, total=total or None))
            bars.update(tasks[what], completed=done, total=total or None)  # type: ignore[arg-type]

        yield show


def _lines() -> Progress:
    """A line on stderr for each `what`, once: for logs."""
    begun: set[str] = set()

    def show(what: str, done: int, total: int) -> None:
        if what not in begun:
            begun.add(what)
            click.echo(f"{what} ...", err=True)

    return show


@contextmanager
def spinner(text: str, *, enabled: bool = True) -> Iterator[None]:
    """Shows that something goes on, on a terminal only."""
    console = stderr_console()
    if not enabled or not console.is_terminal:
        yield
        return
    with console.status(text):
        yield
