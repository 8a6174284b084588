"""One thread for work that blocks. A daemon: a process that ends does not wait for a node that never answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Does jobs one after the other, in the order of their coming, on a thread that begins with the first."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._ended = False

    def run(self, job: Callable[[], T]) -> Future[T]:
        """What `job` returns or raises. A job that has not begun can be cancelled. Raises RuntimeError after `end`."""
        if self._ended:
            raise RuntimeError("the worker has ended")
        if self._thread.ident is None:
            self._thread.start()
        future: Future[T] = Future()
        self._jobs.put((future, job))
        return future

    def end(self) -> None:
        """Nothing more comes; the thread ends once it has done what came. Does not wait for it."""
        self._ended = True
        self._jobs.put(None)

    def _work(self) -> None:
        while (taken := self._jobs.get()) is not None:
            future, job = taken
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job())
            except BaseException as error:  # whoever waits for the result gets it
                future.set_exception(error)
            del future, job, taken
