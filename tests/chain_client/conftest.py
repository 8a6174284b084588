"""A running development chain for the client's tests, and a way to cut its connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from chain_client.account import Account
from chain_client.client import ChainClient
from chain_client.devchain.seal import Seal
from chain_client.devchain.service import DevChain, DevChainOptions

StartChain = Callable[..., Awaitable[DevChain]]
POLL_S = 0.02


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiled runtime is kept for all tests."""
    directory = tmp_path_factory.mktemp("compiled")
    directory.chmod(0o700)
    return directory


@pytest.fixture
async def start_chain(compiled: Path) -> AsyncIterator[StartChain]:
    """Starts chains; they end with the test. `seal` as on the command line, the rest as `DevChainOptions` has it."""
    running: list[DevChain] = []

    async def start(seal: str = "instant", **options: Any) -> DevChain:
        chain = DevChain(DevChainOptions(seal=Seal.parse(seal), compiled=compiled, **options))
        running.append(chain)
        await chain.start()
        return chain

    yield start
    for chain in running:
        await chain.close()


@pytest.fixture
async def devchain(start_chain: StartChain) -> DevChain:
    return await start_chain()


@pytest.fixture
async def client(devchain: DevChain) -> AsyncIterator[ChainClient]:
    async with ChainClient(devchain.url, poll_s=POLL_S) as client:
        yield client


@pytest.fixture
def alice() -> Account:
    return Account.development("alice")


@pytest.fixture
def bob() -> Account:
    return Account.development("bob")


class Cutter:
    """A TCP relay in front of a chain. `cut` breaks all connections; `swallow` forwards requests and drops answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.swallow: Callable[[bytes], bool] = lambda request: False
        self.url = ""
        self.connections = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, back}
        doomed = asyncio.Event()

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, requests: bool) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65_536):
                    if requests and self.swallow(data):
                        doomed.set()
                    elif doomed.is_set():
                        self.cut()
                        return
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, back, requests=True), pump(there, writer, requests=False))


@pytest.fixture
async def cutter(devchain: DevChain) -> AsyncIterator[Cutter]:
    relay = Cutter(devchain.port)
    await relay.start()
    yield relay
    await relay.close()
