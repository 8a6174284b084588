import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rpc_tools import Client, StartChain

from chain_client.devchain.executor import Executor
from chain_client.devchain.runtime import RUNTIME_FILE
from chain_client.devchain.seal import Seal
from chain_client.devchain.service import DevChain, DevChainOptions


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the compiled runtime."""
    directory = tmp_path_factory.mktemp("compiled-for-rpc")
    directory.chmod(0o700)
    Executor(RUNTIME_FILE.read_bytes(), directory)
    return directory


@pytest.fixture
async def start_chain(compiled: Path) -> AsyncIterator[StartChain]:
    """Starts chains on the test's own loop: `await start_chain(seal=..., ...)`; options are DevChainOptions'."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**options: object) -> DevChain:
            wanted = replace(DevChainOptions(seal=Seal(), compiled=compiled), **options)  # type: ignore[arg-type]
            chain = DevChain(wanted)
            stack.push_async_callback(chain.close)
            await chain.start()
            return chain

        yield start


@pytest.fixture
async def chain(start_chain: StartChain) -> DevChain:
    """A chain that is sealed by hand."""
    return await start_chain()


@pytest.fixture
async def client(chain: DevChain) -> AsyncIterator[Client]:
    """A WebSocket to `chain`."""
    async with Client.of(chain) as opened:
        yield opened


ServedChain = Callable[..., AbstractContextManager[DevChain]]


@pytest.fixture
def served_chain(compiled: Path) -> ServedChain:
    """Runs a chain in a thread, for clients that block: `with served_chain(seal=...) as chain`."""

    @contextlib.contextmanager
    def serve(**options: object) -> Iterator[DevChain]:
        wanted = replace(DevChainOptions(seal=Seal(instant=True), compiled=compiled), **options)  # type: ignore[arg-type]
        started: list[DevChain] = []
        ready, stop = threading.Event(), asyncio.Event()
        loops: list[asyncio.AbstractEventLoop] = []

        async def main() -> None:
            loops.append(asyncio.get_running_loop())
            chain = DevChain(wanted)
            await chain.start()
            try:
                started.append(chain)
                ready.set()
                await stop.wait()
            finally:
                await chain.close()

        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        try:
            assert ready.wait(60)
            yield started[0]
        finally:
            loops[0].call_soon_threadsafe(stop.set)
            thread.join()

    return serve
