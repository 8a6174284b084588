"""Real processes: providers and commands on loopback, waited for by their ready files, gone at the end of each test.

start_provider("0:15")                        a provider that serves; `.address`, `.facts`, `.pid`, `.node`
start_provider("15:30", peer=first.address)   joins the first
peerz("status", "--json", "--peer", address)  a command run to its end, as a shell sees it
two_providers                                 0:15 and 15:30, shared by the tests of a module
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from peerz_node.children import NodeProcess, close_all

READY_TIMEOUT_S = 90.0
COMMAND_TIMEOUT_S = 90.0
MODEL = "smollm2-135m"


@dataclass(frozen=True, slots=True)
class RunningProvider:
    """A provider process that serves."""

    node: NodeProcess
    facts: dict[str, Any]

    @property
    def address(self) -> str:
        return str(self.facts["addresses"][0])

    @property
    def pid(self) -> int:
        return self.node.pid

    @property
    def peer_id(self) -> str:
        return str(self.facts["peer_id"])


class Providers:
    """Starts providers of the demo model, and ends whatever is left of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._nodes: list[NodeProcess] = []

    def spawn(self, span: str | None, *extra: str, peer: str | None = None) -> NodeProcess:
        """A provider that may not serve yet. Options in `extra` win. `span` None: it chooses its blocks."""
        stem = self._directory / f"node-{len(self._nodes)}"
        options = {"--listen": "/ip4/127.0.0.1/tcp/0", "--identity": f"{stem}.key", "--blocks": span, "--peer": peer}
        given = [part for name, value in options.items() if value and name not in extra for part in (name, value)]
        arguments = ["--compute", "--model", MODEL, "--precision", "fp32", *given, *extra]
        node = NodeProcess(arguments, log=Path(f"{stem}.log"), ready_file=Path(f"{stem}.json"))
        self._nodes.append(node)
        return node

    def __call__(self, span: str, *extra: str, peer: str | None = None) -> RunningProvider:
        """A provider that serves."""
        node = self.spawn(span, *extra, peer=peer)
        return RunningProvider(node, node.wait_ready(READY_TIMEOUT_S))

    def close(self) -> None:
        close_all(self._nodes)


@pytest.fixture
def start_provider(demo_model: Path, tmp_path: Path) -> Iterator[Providers]:
    providers = Providers(tmp_path)
    try:
        yield providers
    finally:
        providers.close()


@pytest.fixture(scope="module")
def start_shared_provider(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Providers]:
    """Like `start_provider`, for providers that the tests of a module share."""
    providers = Providers(tmp_path_factory.mktemp("providers"))
    try:
        yield providers
    finally:
        providers.close()


@pytest.fixture(scope="module")
def two_providers(start_shared_provider: Providers) -> list[RunningProvider]:
    """Blocks 0:15 and 15:30 of the demo model, in fp32."""
    first = start_shared_provider("0:15")
    return [first, start_shared_provider("15:30", peer=first.address)]


@dataclass(frozen=True, slots=True)
class Finished:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


Command = Callable[..., Finished]


@pytest.fixture(scope="session")
def peerz() -> Command:
    """Runs `peerz-node` in a process of its own, to its end."""

    def run(*arguments: str, stdin: str = "", timeout_s: float = COMMAND_TIMEOUT_S) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "peerz_node", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Processes see no settings or keys of the person who runs the tests; the model cache is shared."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PEERZ_") and name != "PEERZ_CACHE"]:
            patch.delenv(name)
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        yield


def descendants(pid: int) -> set[int]:
    """All processes below `pid` that are alive now."""
    found: set[int] = set()
    open_pids = [pid]
    while open_pids:
        parent = open_pids.pop()
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            children = {int(child) for child in task.read_text().split()}
            open_pids.extend(children - found)
            found |= children
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether `condition` came true in time."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


@dataclass(frozen=True, slots=True)
class ProcessTools:
    """Looks at other processes."""

    descendants: Callable[[int], set[int]] = descendants
    is_alive: Callable[[int], bool] = is_alive
    wait_until: Callable[[Callable[[], bool], float], bool] = wait_until

    def all_gone(self, pids: set[int], timeout_s: float = 5.0) -> bool:
        return self.wait_until(lambda: not any(self.is_alive(pid) for pid in pids), timeout_s)


@pytest.fixture(scope="session")
def processes() -> ProcessTools:
    return ProcessTools()


@pytest.fixture(scope="session")
def local_generator(demo_model: Path) -> Any:
    """The whole model in this process, as a `Generator`."""
    from peerz_node.generation import local_generator
    from peerz_node.settings import Settings

    with local_generator(Settings(model=MODEL)) as generator:
        return generator
