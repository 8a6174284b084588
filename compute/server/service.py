"""The service of all sessions of a provider: who is let in, who is running, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hivemind.p2p.p2p_daemon_bindings.datastructures import StreamInfo

from compute.errors import ComputeError
from compute.identity import Signer
from compute.server.admission import Admission
from compute.server.handler import SessionStream
from compute.server.quota import StepQuota
from compute.server.refuser import Refuser
from compute.server.service_options import ServiceOptions
from compute.server.shared import SessionEngine, SharedState
from compute.server.terms import ServedTerms
from compute.types import PeerId
from compute.wire.limits import Budget

logger = logging.getLogger(__name__)


class SessionService:
    """All sessions of a provider. `handle` is what `P2P.add_binary_stream_handler` is given."""

    def __init__(
        self,
        engine: SessionEngine,
        terms: ServedTerms,
        signer: Signer,
        options: ServiceOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._clock = clock
        self._admission = Admission(options.admission)
        self._refuser = Refuser(options)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="peerz-codec")
        self._held = Budget(options.held_bytes_max, options.held_bytes_of_peer)
        self._shared = SharedState(
            engine, terms, signer, options, clock, self._pool, self._held, StepQuota(options.admission)
        )
        self._streams: set[SessionStream] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def n_sessions(self) -> int:
        """Streams that hold a place, whether their session is open yet or not."""
        return len(self._streams)

    @property
    def bytes_held(self) -> int:
        """Of messages of all clients, beyond what every message has for nothing."""
        return self._held.total

    @property
    def draining(self) -> bool:
        return self._admission.draining

    async def handle(self, info: StreamInfo, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one stream to its end. Whatever happens on it stays on it."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        peer = PeerId(info.peer_id.to_base58())
        try:
            await self._serve(peer, reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        except Exception:
            logger.exception("a session stream of %s failed", peer)
            writer.transport.abort()

    async def _serve(self, peer: PeerId, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self._admission.admit(peer, self._clock())
        except ComputeError as error:
            await self._refuser.refuse(error, peer, reader, writer)
            return
        stream = SessionStream(self._shared, peer, reader, writer, self._forget)
        self._streams.add(stream)
        self._empty.clear()
        await stream.run()

    def _forget(self, stream: SessionStream) -> None:
        self._streams.remove(stream)
        self._admission.release(stream.peer)
        if not self._streams:
            self._empty.set()

    def begin_drain(self, grace_s: float) -> None:
        """No new sessions from now on; running ones are told, and told again in `grace_s` that it is over."""
        self._admission.draining = True
        for stream in tuple(self._streams):
            stream.drain(grace_s)

    def end_drain(self) -> None:
        """New sessions are let in again, and running ones may stay."""
        self._admission.draining = False
        for stream in tuple(self._streams):
            stream.stay()

    async def wait_empty(self) -> None:
        """Returns when no session is left."""
        await self._empty.wait()

    async def close(self) -> None:
        """Ends every session at once (their clients read DRAINING) and waits until their streams are closed."""
        self.begin_drain(0.0)
        if self._tasks:
            _, late = await asyncio.wait(tuple(self._tasks), timeout=self._options.linger_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._pool.shutdown(wait=False, cancel_futures=True)
