"""Looks at the swarm at a steady pace and moves the provider when that helps."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from compute.server.rebalancing import Rebalancer
from compute.swarm.records import ProviderRecord
from compute.types import Span

logger = logging.getLogger(__name__)


class Movable(Protocol):
    """What a mover needs of a provider."""

    async def view(self) -> tuple[ProviderRecord, tuple[ProviderRecord, ...]]:
        """Its own record as it is now, and those of all providers of its model."""

    async def move(self, span: Span) -> bool:
        """Whether it serves `span` now; it serves what it served before when not."""


class Mover:
    """`look_s`: between two looks; a turn of the rebalancer is several of them long."""

    def __init__(
        self, provider: Movable, rebalancer: Rebalancer, look_s: float, shared_clock: Callable[[], float]
    ) -> None:
        self._provider = provider
        self._rebalancer = rebalancer
        self._look_s = look_s
        self._clock = shared_clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="mover")

    async def stop(self) -> None:
        """No move begins after this returns; one that is under way is given up in the middle."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            try:
                await self.look()
            except Exception:
                logger.exception("looking for a better span failed; it is tried again")

    async def look(self) -> None:
        """One look, and the move that follows from it."""
        me, records = await self._provider.view()
        span = self._rebalancer.look(me, records, self._clock())
        if span is None:
            return
        logger.info("moving from blocks %s to %s, which the swarm needs more", me.span, span)
        try:
            if not await self._provider.move(span):
                logger.info("not moved: sessions went on, or the new blocks could not be served")
        finally:
            self._rebalancer.settled(self._clock())
