"""Keeps a provider's record in the DHT fresh: at a steady pace, and at once when something changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)


class Announcer:
    """Calls `publish` every `refresh_s`, and right after `poke`. A failure is logged and tried again, sooner."""

    def __init__(self, publish: Callable[[], Awaitable[None]], refresh_s: float, retry_s: float = 2.0) -> None:
        self._publish = publish
        self._refresh_s = refresh_s
        self._retry_s = retry_s
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins with a first publication after one `refresh_s`: the caller has just made one itself."""
        self._task = asyncio.create_task(self._run(), name="announcer")

    def poke(self) -> None:
        """Something that others should know has changed."""
        self._changed.set()

    async def stop(self) -> None:
        """No publication begins after this returns."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        wait_s = self._refresh_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            self._changed.clear()
            wait_s = self._refresh_s if await self._published() else self._retry_s

    async def _published(self) -> bool:
        try:
            await self._publish()
        except Exception as error:
            logger.warning("the record was not published (%s); it will be tried again", error)
            return False
        return True
