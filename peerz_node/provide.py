"""The life of a provider process: start, say where it is, serve until a signal, leave nothing behind.

    SIGTERM            drains: running sessions finish or move, at most `drain_timeout` seconds; exit code 0
    SIGTERM again      ends at once; exit code 0
    SIGINT (Ctrl-C)    ends at once; exit code 130

Before it serves, either signal ends it at once with the same codes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from peerz_node import lean_imports
from peerz_node.console import progress_display
from peerz_node.errors import EXIT_INTERRUPTED
from peerz_node.generation import required_model
from peerz_node.identity_file import claimed_identity
from peerz_node.logs import adopt_library_logs
from peerz_node.readiness import check_ready_path, remove_ready_file, write_ready_file

if TYPE_CHECKING:
    from compute.server.provider import Provider
    from peerz_node.settings import Settings

logger = logging.getLogger(__name__)
T = TypeVar("T")

CLOSE_TIMEOUT_S = 5.0


class Stopped(Exception):
    """A signal asked the provider to end before it served."""


class StopSignals:
    """SIGTERM and SIGINT as events of the running loop. `now` is set by SIGINT and by a second SIGTERM."""

    def __init__(self) -> None:
        self.any = asyncio.Event()
        self.now = asyncio.Event()
        self.exit_code = 0

    def install(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)

    def _terminate(self) -> None:
        if self.any.is_set():
            self.now.set()
        self.any.set()

    def _interrupt(self) -> None:
        self.exit_code = EXIT_INTERRUPTED
        self.now.set()
        self.any.set()


def provide(settings: Settings, ready_file: Path | None) -> NoReturn:
    """Serves blocks until a signal; ends the process with the exit code that the signal means."""
    required_model(settings)
    if ready_file is not None:
        check_ready_path(ready_file)
    with claimed_identity(settings.identity) as identity:
        lean_imports.load("peerz_node.provider_factory", ends=lean_imports.ENDS_OF_A_PROVIDER)
        from peerz_node.provider_factory import build_provider

        adopt_library_logs()
        provider = build_provider(settings, identity)
        raise SystemExit(asyncio.run(_serve(provider, settings, ready_file)))


async def _serve(provider: Provider, settings: Settings, ready_file: Path | None) -> int:
    """Starts, announces, waits for a signal, leaves. Returns the exit code."""
    signals = StopSignals()
    signals.install()
    try:
        await _until(signals.any, _start(provider, settings))
        facts = ready_facts(provider, settings)
        if ready_file is not None:
            write_ready_file(ready_file, facts)
        announce(facts, json_lines=settings.log_json)
        if settings.allow and not settings.log_json:
            click.echo(f"private: chat needs --identity with one of {len(settings.allow)} allowed peer ids", err=True)
        with contextlib.suppress(Stopped):
            await _until(signals.any, provider.failure())
        if not signals.now.is_set():
            logger.info("draining", extra={"timeout_s": settings.drain_timeout})
            if not settings.log_json:
                click.echo(f"leaving: sessions may finish within {settings.drain_timeout:.0f} s", err=True)
            await _until(signals.now, provider.drain(settings.drain_timeout))
    except Stopped:
        pass
    finally:
        if ready_file is not None:
            remove_ready_file(ready_file)
        await _close(provider)
        if signals.any.is_set():
            _finish_despite_threads(signals.exit_code)
    return signals.exit_code


async def _close(provider: Provider) -> None:
    try:
        await asyncio.wait_for(provider.close(), CLOSE_TIMEOUT_S)
    except TimeoutError:
        logger.warning("closing took longer than %.0f s; the process ends all the same", CLOSE_TIMEOUT_S)


async def _start(provider: Provider, settings: Settings) -> None:
    with progress_display(enabled=not settings.log_json) as progress:
        await provider.start(progress)


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, or Stopped (and `work` cancelled) when `stop` comes first."""
    task = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Stopped
    finally:
        for pending in (task, waiting):
            pending.cancel()
        await asyncio.wait({task, waiting})


def ready_facts(provider: Provider, settings: Settings) -> dict[str, Any]:
    """What the ready file says."""
    span = provider.span
    return {
        "pid": os.getpid(),
        "peer_id": provider.peer_id,
        "addresses": list(provider.addresses),
        "model": settings.model,
        "span": [span.start, span.end],
        "precision": provider.precision.value,
        "quant_spec": provider.quant_spec,
        "numeric_profile": provider.numeric_profile,
        "model_root": provider.model_root.hex(),
    }


def announce(facts: dict[str, Any], *, json_lines: bool) -> None:
    """Says that it serves: to people with commands to paste, to machines as one log line."""
    if json_lines:
        logger.info("serving", extra=facts)
        return
    address = shareable(facts["addresses"])
    model, (start, end) = facts["model"], facts["span"]
    click.echo(f"serving blocks {start}:{end} of {model} as {facts['quant_spec']}")
    click.echo(f"address: {address}")
    click.echo("\nanother provider (it takes the blocks that are needed most):")
    click.echo(f"  peerz-node --compute --model {model} --peer {address}")
    click.echo("who serves what:")
    click.echo(f"  peerz-node status --model {model} --peer {address}")
    click.echo("to talk to the model:")
    click.echo(f"  peerz-node chat --model {model} --peer {address}")
    click.echo("\nCtrl-C ends it at once; SIGTERM lets running sessions finish.", err=True)


def shareable(addresses: Sequence[str]) -> str:
    """The address that others can most likely use: a loopback address only when there is no other."""
    outside = [a for a in addresses if not a.startswith(("/ip4/127.", "/ip6/::1/"))]
    return (outside or list(addresses))[0]


def _finish_despite_threads(code: int) -> None:
    """Ends the process at once where a thread that cannot be stopped (reading weights) would delay the end."""
    if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
