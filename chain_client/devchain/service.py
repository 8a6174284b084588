"""The whole node: chain, pool, sealing, storage and JSON-RPC, from `start` to `close`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from chain_client.devchain.chain import STATES_KEPT, Chain
from chain_client.devchain.chain_thread import ChainThread
from chain_client.devchain.errors import DevchainError
from chain_client.devchain.executor import Executor, Limits
from chain_client.devchain.pool import PoolEvent, PoolLimits, Status
from chain_client.devchain.rpc.backend import Backend
from chain_client.devchain.rpc.hub import Hub
from chain_client.devchain.rpc.limits import RpcLimits
from chain_client.devchain.rpc.news import News
from chain_client.devchain.rpc.origins import is_loopback
from chain_client.devchain.rpc.server import RpcServer
from chain_client.devchain.rpc.session import Node
from chain_client.devchain.runtime import RUNTIME_FILE, Runtimes
from chain_client.devchain.seal import Seal
from chain_client.devchain.sqlite_store import SqliteStore
from chain_client.devchain.store import MemoryStore, Store

logger = logging.getLogger(__name__)
T = TypeVar("T")

LOOPBACK = "127.0.0.1"
STORE_NAME = "chain.sqlite"
_RETRY_S = 1.0
_CLOSED = "the chain does not run"


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class DevChainOptions:
    """How a chain runs. `data` None: in memory. `port` 0: any free one. `compiled` keeps compiled runtimes.

    `code` and `genesis` (merged into `preset`) count only when the chain begins.
    """

    data: Path | None = None
    seal: Seal = field(default_factory=lambda: Seal(instant=True))
    host: str = LOOPBACK
    port: int = 0
    preset: str = "development"
    genesis: Mapping[str, object] | None = None
    code: bytes | None = None
    compiled: Path | None = None
    clock: Callable[[], int] = _wall_clock_ms
    states_kept: int = STATES_KEPT
    call: Limits = field(default_factory=Limits)
    """What one call into the runtime may use up."""
    rpc: RpcLimits = field(default_factory=RpcLimits)
    pool: PoolLimits = field(default_factory=PoolLimits)


class DevChain:
    """A running chain with one port. Belongs to the event loop that starts it.

    Sealing by hand and time travel over JSON-RPC are there only when it listens on a loopback address.
    """

    def __init__(self, options: DevChainOptions) -> None:
        self._options = options
        self._thread = ChainThread()
        self._store: Store | None = None
        self._backend: Backend | None = None
        self._changed = asyncio.Event()
        self._sealing: asyncio.Task[None] | None = None
        self._hub = Hub()
        node = Node.of(self.on_chain, self._hub, options.rpc, unsafe=is_loopback(options.host))
        self._server = RpcServer(node)
        self._closed = False
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients find it: `ws://...`, and the same with `http://`."""
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        return f"ws://{host}:{self.port}"

    async def start(self) -> None:
        """Open or begin the chain, seal, listen. Raises `DevchainError`, OSError; it is closed then."""
        try:
            loop = asyncio.get_running_loop()
            self._backend = await self._thread.run(lambda: self._open(loop))
            self.port = await self._server.start(self._options.host, self._options.port)
        except BaseException:
            await self.close()
            raise
        self._sealing = asyncio.create_task(self._seal_when_due())

    async def close(self) -> None:
        """Stop sealing, end all connections, close the store. Once is enough, twice does no harm."""
        if self._closed:
            return
        self._closed = True
        if self._sealing is not None:
            self._sealing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sealing
        await self._server.close()
        await self._thread.close(lambda: self._store.close() if self._store is not None else None)
        self._backend = None

    async def on_chain(self, job: Callable[[Backend], T]) -> T:
        """Run `job` on the chain thread; subscribers hear of what it did before this returns."""
        backend = self._backend
        if backend is None:
            raise DevchainError(_CLOSED)
        loop = asyncio.get_running_loop()

        def work() -> T:
            try:
                return job(backend)
            finally:
                news = backend.take_news()
                if news:
                    loop.call_soon_threadsafe(self._publish, news)

        return await self._thread.run(work)

    def _open(self, loop: asyncio.AbstractEventLoop) -> Backend:
        options = self._options
        self._store = MemoryStore() if options.data is None else SqliteStore(options.data / STORE_NAME)
        chain = Chain.create(
            self._store,
            Runtimes(lambda code: Executor(code, options.compiled, options.call)),
            options.clock,
            RUNTIME_FILE.read_bytes() if options.code is None else options.code,
            options.preset,
            options.genesis,
            options.states_kept,
        )
        return Backend(chain, options.rpc.response_bytes, options.pool)

    def _publish(self, news: list[News]) -> None:
        self._hub.publish(news)
        if any(isinstance(item, PoolEvent) and item.status is Status.READY for item in news):
            self._changed.set()

    async def _seal_when_due(self) -> None:
        backend = self._backend
        assert backend is not None
        seal, pool = self._options.seal, backend.author.pool
        sealed_at = time.monotonic()
        while True:
            self._changed.clear()
            due_ms = seal.due_in_ms(int(1000 * (time.monotonic() - sealed_at)), pool.ready_count)
            if due_ms != 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if due_ms is None else due_ms / 1000):
                        await self._changed.wait()
                continue
            sealed_at = time.monotonic()
            if not await self._seal_once(create_empty=seal.interval_ms is not None):
                await asyncio.sleep(_RETRY_S)

    async def _seal_once(self, *, create_empty: bool) -> bool:
        """Seal; False when that failed, or could not use what the pool calls ready."""

        def work(backend: Backend) -> bool:
            ready = backend.author.pool.ready_count
            authored = backend.seal(create_empty=create_empty)
            return create_empty or authored is None or backend.author.pool.ready_count < ready

        try:
            return await self.on_chain(work)
        except Exception:
            logger.exception("no block could be made; it is tried again")
            return False
