"""Fixtures of the command line: a clean environment and a runner that returns what a shell would see."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the person who runs the tests gets in."""
    cache = os.environ.get("PEERZ_CACHE")
    for name in [name for name in os.environ if name.startswith("PEERZ_")]:
        monkeypatch.delenv(name)
    if cache:
        monkeypatch.setenv("PEERZ_CACHE", cache)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(autouse=True)
def same_signals_and_logs() -> Iterator[None]:
    """Commands set signal handlers and log handlers; each test leaves them as it found them."""
    import logging
    import warnings

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with warnings.catch_warnings():
        yield
    for number, handler in before.items():
        signal.signal(number, handler)
    root.handlers[:] = handlers
    root.setLevel(level)


Cli = Callable[..., click.testing.Result]


@pytest.fixture
def peerz() -> Cli:
    """Runs the command line in this process: `peerz("status", "--json").exit_code`."""
    from peerz_node.cli import cli

    def invoke(*arguments: str, stdin: str | None = None) -> click.testing.Result:
        return click.testing.CliRunner().invoke(cli, list(arguments), input=stdin, prog_name="peerz-node")

    return invoke
