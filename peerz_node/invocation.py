"""What every command shares: the group's options, and how an error becomes one sentence and an exit code."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

import click

from compute.errors import ComputeError
from peerz_node.errors import EXIT_BUG, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from peerz_node.settings import Settings


@dataclass
class Invocation:
    """The options that stand before a command's name."""

    config: Path | None = None
    debug: bool = False
    options: dict[str, object] = field(default_factory=dict)

    def overlaid(self, config: Path | None, debug: bool) -> Invocation:
        """The same with a command's own `--config` and `--debug`, which may stand on either side of its name."""
        if debug and not self.debug:
            self.debug = True  # in place: the top group looks here when the command fails
        return Invocation(config or self.config, self.debug, self.options)

    def settings(self, **options: object) -> Settings:
        """The merged settings of a command; its own options win over those before its name. Also sets up logging."""
        from peerz_node.logs import set_up_logging
        from peerz_node.settings import load_settings

        given = {name: value for name, value in options.items() if value not in (None, ())}
        settings = load_settings(self.config, {**self.options, **given})
        set_up_logging(json_lines=settings.log_json, debug=self.debug)
        if settings.cache is not None:
            _use_cache(settings.cache)
        return settings


def _use_cache(directory: Path) -> None:
    """Tells `compute.models.sources` of the cache directory, which it reads from the environment."""
    import os

    os.environ["PEERZ_CACHE"] = str(directory.expanduser())


class Failure(click.ClickException):
    """How a command that failed ends: with one sentence, or none when there is nothing to say."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        if self.message:
            click.echo(f"peerz-node: {self.message}", file=file, err=file is None)


class PeerzGroup(click.Group):
    """The top group: the one place where exceptions of a command become exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        interrupts = Interrupts()
        try:
            with interrupts:
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except BaseException as error:
            if interrupts.seen or isinstance(error, KeyboardInterrupt | click.Abort):
                raise Failure("", EXIT_INTERRUPTED) from None
            debug = isinstance(ctx.obj, Invocation) and ctx.obj.debug
            if debug or not isinstance(error, Exception):
                raise
            raise failure_of(error) from None


def failure_of(error: Exception) -> Failure:
    """The sentence and the exit code of an error; a bug of ours says how to see more."""
    if isinstance(error, ComputeError):
        return Failure(_sentence(str(error)), error.exit_code)
    if isinstance(error, BrokenPipeError):
        return Failure("", 0)  # `peerz-node status | head`: the reader has what it wants
    kind = type(error).__name__
    return Failure(f"unexpected {kind}: {_sentence(str(error))}; run it again with --debug for the details", EXIT_BUG)


def _sentence(text: str) -> str:
    """`text` on one line, with nothing that steers a terminal: parts of it may come from a peer or a chain."""
    shown = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return shown or "no reason given"


class Interrupts:
    """Remembers Ctrl-C: a library that renames KeyboardInterrupt cannot turn it into an error of its own."""

    def __init__(self) -> None:
        self.seen = False
        self._before: Any = None

    def __enter__(self) -> None:
        try:
            self._before = signal.signal(signal.SIGINT, self._on_sigint)
        except ValueError:  # not the main thread: signals are someone else's
            self._before = None

    def __exit__(self, *exc_info: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _on_sigint(self, number: int, frame: FrameType | None) -> None:
        self.seen = True
        raise KeyboardInterrupt
