"""Providers as the benchmarks need them: real processes, timed from the command to serving."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peerz_node.children import NodeProcess, close_all

READY_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class ProviderProcess:
    """A provider that serves; `start_s` is the time from the command to its ready file."""

    node: NodeProcess
    facts: dict[str, Any]
    start_s: float

    @property
    def address(self) -> str:
        return str(self.facts["addresses"][0])


@contextmanager
def provider_processes(model: str, spans: tuple[str, ...], *extra: str) -> Iterator[list[ProviderProcess]]:
    """One provider for each of `spans`, in one swarm, started one after the other; gone when the context ends."""
    running: list[ProviderProcess] = []
    nodes: list[NodeProcess] = []
    with tempfile.TemporaryDirectory(prefix="peerz-bench-") as directory:
        try:
            for n, span in enumerate(spans):
                stem = Path(directory) / f"node-{n}"
                arguments = ["--compute", "--model", model, "--blocks", span, "--listen", "/ip4/127.0.0.1/tcp/0"]
                arguments += ["--identity", f"{stem}.key", *extra]
                if running:
                    arguments += ["--peer", running[0].address]
                started_s = time.monotonic()
                nodes.append(NodeProcess(arguments, log=Path(f"{stem}.log"), ready_file=Path(f"{stem}.json")))
                facts = nodes[-1].wait_ready(READY_TIMEOUT_S)
                running.append(ProviderProcess(nodes[-1], facts, time.monotonic() - started_s))
            yield running
        finally:
            close_all(nodes)
