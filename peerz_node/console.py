"""Where a command speaks to people: results on stdout, everything else on stderr, progress only on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str, int, int], None]
"""`(what, done, total)`; `total` 0 when unknown. The same as `compute.models.progress.Progress`."""


def stdout_console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def no_progress(what: str, done: int, total: int) -> None:
    """Says nothing."""


@contextmanager
def progress_display(*, enabled: bool = True) -> Iterator[Progress]:
    """A callback that shows a bar per `what` on the terminal. Off a terminal, or when disabled, it shows nothing.

    Bars vanish at the end: what stays on the screen is what the command says about the result.
    """
    console = stderr_console()
    if not enabled or not console.is_terminal:
        yield no_progress
        return
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Bars(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        tasks: dict[str, int] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = int(bars.add_task(what, total=total or None))
            bars.update(tasks[what], completed=done, total=total or None)  # type: ignore[arg-type]

        yield show


@contextmanager
def spinner(text: str, *, enabled: bool = True) -> Iterator[None]:
    """Shows that something goes on, on a terminal only."""
    console = stderr_console()
    if not enabled or not console.is_terminal:
        yield
        return
    with console.status(text):
        yield
