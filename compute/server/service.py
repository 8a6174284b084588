"""The service of all sessions of a provider: who is let in, who is running, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hivemind.p2p.p2p_daemon_bindings.datastructures import StreamInfo

from compute.errors import BadMessage, ComputeError
from compute.identity import Signer
from compute.server.admission import Admission
from compute.server.handler import ServiceOptions, SessionEngine, SessionStream, SharedState, end_politely
from compute.server.terms import ServedTerms
from compute.types import PeerId
from compute.wire.frames import frame, read_frame
from compute.wire.messages import build_server_message, refusal_of

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
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="peerz-codec")
        self._shared = SharedState(engine, terms, signer, options, clock, self._pool, on_end=self._forget)
        self._streams: set[SessionStream] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def n_sessions(self) -> int:
        """Streams that hold a place, whether their session is open yet or not."""
        return len(self._streams)

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
        if len(self._tasks) > 2 * self._options.admission.sessions_max:
            writer.transport.abort()  # a flood of streams that are refused: not even the reason is worth their memory
            return
        try:
            self._admission.admit(peer, self._clock())
        except ComputeError as error:
            await self._turn_away(error, peer, reader, writer)
            return
        stream = SessionStream(self._shared, peer, reader, writer)
        self._streams.add(stream)
        self._empty.clear()
        await stream.run()

    async def _turn_away(
        self, error: ComputeError, peer: PeerId, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answers the peer's first message, whatever it is, with `error`."""
        logger.info("refused a session of %s: %s", peer, error)
        with contextlib.suppress(TimeoutError, BadMessage):
            async with asyncio.timeout(self._options.linger_s):
                await read_frame(reader, self._options.open_bytes_max)
        writer.write(frame(build_server_message(refusal_of(error))))
        await end_politely(reader, writer, self._options.linger_s)
        writer.close()

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
