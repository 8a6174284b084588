"""Processes that a command starts and that must never outlive it, however it ends."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from peerz_node import lean_imports
from peerz_node.errors import ChildFailed

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02


def _die_with_parent() -> Callable[[], None] | None:
    """What a new child runs before its program: ask Linux for SIGKILL when the parent is gone. None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above took hold
            os._exit(1)

    return arm


def _own_environment() -> dict[str, str]:
    """Ours without the user's settings: a node that a command starts for itself must not join the user's swarm."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PEERZ_")}
    kept = {name: os.environ[name] for name in ("PEERZ_CACHE", lean_imports.VARIABLE) if name in os.environ}
    return {**inherited, **kept, "PEERZ_CONFIG": os.devnull}


class NodeProcess:
    """One `peerz-node` process in a process group of its own, which ends as a whole.

    Its own group keeps a terminal's Ctrl-C for the parent, which then ends the children in order. Must be created by
    the main thread: Linux ties the death signal to the thread that forked.
    """

    def __init__(self, arguments: Sequence[str], *, log: Path, ready_file: Path | None = None) -> None:
        command = [sys.executable, "-m", "peerz_node", *arguments]
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)
            command += ["--ready-file", str(ready_file)]
        self.command = tuple(command)
        self.log = log
        self.ready_file = ready_file
        self._asked = False
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_own_environment(),
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_ready(self, timeout_s: float) -> dict[str, Any]:
        """What the ready file says, once it is there. Raises ChildFailed when the process ends first or is slow."""
        if self.ready_file is None:
            raise ValueError("this process was started without a ready file")
        deadline_s = time.monotonic() + timeout_s
        while not self.ready_file.exists():
            if self.process.poll() is not None:
                raise ChildFailed(
                    f"a node ended with exit code {self.process.returncode} at start: {self.last_words()}"
                )
            if time.monotonic() > deadline_s:
                raise ChildFailed(
                    f"a node did not serve within {timeout_s:.0f} s; the end of its log: {self.last_words()}"
                )
            time.sleep(_POLL_S)
        facts: dict[str, Any] = json.loads(self.ready_file.read_text(encoding="utf-8"))
        return facts

    def last_words(self) -> str:
        """The last line that the process wrote, or a word saying that there is none."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")

    def signal(self, number: int) -> None:
        """Sends a signal to the node alone (not to its group)."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def ask_to_end(self) -> None:
        """Sends SIGINT, once: a node then ends at once and cleanly."""
        if not self._asked:
            self._asked = True
            self.signal(signal.SIGINT)

    def close(self, *, patience_s: float = 3.0) -> None:
        """Ends the whole group: asks, waits for `patience_s`, then SIGKILL for whatever is left of it."""
        self.ask_to_end()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_s)
        finally:
            with contextlib.suppress(ProcessLookupError):  # the usual case: the group is empty
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()


def close_all(nodes: Sequence[NodeProcess]) -> None:
    """Ends all nodes, side by side: everyone is asked first, then each is waited for."""
    for node in nodes:
        node.ask_to_end()
    for node in nodes:
        node.close()
