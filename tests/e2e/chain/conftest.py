"""A chain with short epochs, served to stock clients from a thread of its own; blocks are made when a test asks."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from chain_client.devchain.seal import Seal
from chain_client.devchain.service import DevChain, DevChainOptions
from tests.e2e.chain.stock import Stock

START_TIMEOUT_S = 90.0
OpenChain = Callable[[dict[str, object]], AbstractContextManager[Stock]]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiled runtime is kept."""
    directory = tmp_path_factory.mktemp("compiled-for-stories")
    directory.chmod(0o700)
    return directory


@pytest.fixture(scope="session")
def open_chain(compiled: Path) -> OpenChain:
    """`with open_chain(genesis) as stock`: a chain that begins with `genesis` over the development preset."""

    @contextlib.contextmanager
    def opened(genesis: dict[str, object]) -> Iterator[Stock]:
        options = DevChainOptions(seal=Seal(), compiled=compiled, genesis=genesis)
        with _served(options) as chain, contextlib.closing(Stock(chain.url)) as stock:
            yield stock

    return opened


@contextlib.contextmanager
def _served(options: DevChainOptions) -> Iterator[DevChain]:
    ready, failures = threading.Event(), []
    chains: list[tuple[DevChain, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        chain, stop = DevChain(options), asyncio.Event()
        await chain.start()
        try:
            chains.append((chain, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()
        finally:
            await chain.close()

    def run() -> None:
        try:
            asyncio.run(main())
        except Exception as error:
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(START_TIMEOUT_S)
        assert not failures, failures
        yield chains[0][0]
    finally:
        for _, loop, stop in chains:
            loop.call_soon_threadsafe(stop.set)
        thread.join()
    assert not failures, failures
