"""The same sessions for code that knows no event loop: a loop in a thread of its own, and calls that wait for it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import torch

from compute.client.contracts import SessionRoute, SessionStats
from compute.client.session import InferenceSession
from compute.errors import BadRequest
from compute.types import Row

T = TypeVar("T")

_STOP_TIMEOUT_S = 5.0


class LoopThread:
    """An event loop in a daemon thread."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    @property
    def stopped(self) -> bool:
        return self._loop.is_closed() or not self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """The result of `work`, awaited in the loop. Whatever interrupts the wait (Ctrl-C) cancels the work and passes.

        Raises BadRequest once the loop has stopped.
        """
        if self.stopped:
            work.close()
            raise BadRequest("the swarm client is closed; connect a new one")
        future: concurrent.futures.Future[T] | None = None
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            return future.result(timeout_s)
        except BaseException:
            if future is not None:
                future.cancel()
            raise

    def post(self, call: Callable[[], None]) -> None:
        """Makes the loop call `call` soon. Does nothing once it has stopped."""
        if not self.stopped:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call)

    def stop(self) -> None:
        """Cancels what is left in the loop and ends the thread. Idempotent."""
        if self._loop.is_closed():
            return
        if self._thread.is_alive():
            with contextlib.suppress(concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
                self.run(_cancel_all(), _STOP_TIMEOUT_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_TIMEOUT_S)
        if not self._loop.is_running():
            self._loop.close()


async def _cancel_all() -> None:
    """Ends every other task of the running loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class BlockingSession:
    """An `InferenceSession` whose loop runs elsewhere. Used by one thread at a time; a context manager.

    Ctrl-C in the middle of a step closes the session, frees what the providers hold, and passes.
    """

    def __init__(self, session: InferenceSession, loop: LoopThread) -> None:
        self._session = session
        self._loop = loop

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens that each lane holds."""
        return self._session.lengths

    @property
    def route(self) -> SessionRoute:
        return self._session.route

    @property
    def stats(self) -> SessionStats:
        return self._session.stats

    @property
    def closed(self) -> bool:
        return self._session.closed

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, fork: Sequence[int] = ()) -> torch.Tensor:
        """See `InferenceSession.step`."""
        try:
            return self._loop.run(self._session.step(rows, hidden, fork))
        except KeyboardInterrupt:
            self.close()
            raise

    def truncate(self, lane: int, length: int) -> None:
        """Rolls `lane` back to its first `length` tokens."""
        self._session.truncate(lane, length)

    def suspend(self) -> None:
        """Frees everything at the providers; the next step goes on from what is remembered here."""
        self._loop.run(self._session.suspend())

    def resume(self) -> None:
        """Returns when the providers hold again what the lanes hold. Raises NoRoute."""
        self._loop.run(self._session.resume())

    def close(self) -> None:
        """Frees what the providers hold. Idempotent, and returns at once."""
        self._loop.post(self._session.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
