"""The one thread on which everything about the chain happens: executing, storing, the pool.

Calls into the runtime take from a millisecond to seconds; the event loop must not wait for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class ChainThread:
    """Runs jobs one after the other, in the order of their coming."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="chain")

    async def run(self, job: Callable[[], T]) -> T:
        """What `job` returns or raises. Cancelling gives up waiting; a job that has begun goes on to its end."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, job)

    async def close(self, last: Callable[[], None]) -> None:
        """Wait for the job that runs, drop those that wait, run `last` and end."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._executor.shutdown)
        last()
