"""Serves a gap in a session's chain again: plans with what is known, looks for news, gives suspects a second chance."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from compute.client.builder import HopBuilder
from compute.client.contracts import HopTarget, Profile, SessionOptions, Swarm
from compute.client.failover import Suspects, Trouble
from compute.client.hop import HopConnection
from compute.errors import BadReceipt, CallerError, ComputeError, Equivocation, NoRoute
from compute.types import PeerId, Span

_LOOK_S_MAX = 0.4
"""Between two looks for others while a suspect is dialled: somebody waits for the next token."""


@dataclass(frozen=True, slots=True)
class Need:
    """The blocks of the gap, how many tokens the session's lanes hold, and how new hops must compute."""

    gap: Span
    held_tokens: int
    profile: Profile


class GapFiller:
    """Of one session. It builds hops; whether they become part of the session is the session's business."""

    def __init__(
        self, swarm: Swarm, builder: HopBuilder, suspects: Suspects, options: SessionOptions, rng: random.Random
    ) -> None:
        self._swarm = swarm
        self._builder = builder
        self._suspects = suspects
        self._options = options
        self._rng = rng

    async def fill(self, need: Need, in_trouble: Callable[[], Trouble]) -> list[HopConnection]:
        """Hops that tile the gap and hold what the lanes hold.

        Plans are made with peers that are not avoided. If there is no such plan, those that only failed are tried, as
        the suspicion may have been wrong, for as long as the swarm tells of nobody else.

        Args:
            in_trouble: the trouble of the step that runs, made when there is some.

        Raises NoRoute after the trouble's give-up time, or what a provider objects to in us.
        """
        while True:
            targets = self._plan(need, self._avoided())
            try:
                if targets:
                    return await self._builder.build(targets)
                await self._wait_for_news(need, in_trouble())
                if not self._plan(need, self._avoided()) and (hops := await self._second_chance(need)) is not None:
                    return hops
            except ComputeError as error:
                trouble = in_trouble()
                trouble.note(error)
                if _is_final(error, suspected=not targets) or trouble.is_over(self._now()):
                    raise

    async def _second_chance(self, need: Need) -> list[HopConnection] | None:
        """Hops on peers that are avoided because they failed; None as soon as there is a plan without such peers.

        Both are waited for at once: a peer that is really dead costs a time-out, and a newcomer must not wait for it.
        """
        targets = self._plan(need, self._suspects.banned())
        if not targets:
            return None
        building = asyncio.create_task(self._builder.build(targets))
        others = asyncio.create_task(self._wait_for_others(need))
        try:
            await asyncio.wait({building, others}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            building.add_done_callback(_let_go)
            raise
        finally:
            for task in (building, others):
                task.cancel()
        if building.done():
            return building.result()
        building.add_done_callback(_let_go)
        return None

    async def _wait_for_others(self, need: Need) -> None:
        """Returns when there is a plan on peers that are not avoided."""
        delay_s = self._options.retry_s
        while not self._plan(need, self._avoided()):
            await asyncio.gather(self._swarm.refresh(), asyncio.sleep(delay_s))
            delay_s = min(2 * delay_s, _LOOK_S_MAX)

    def _plan(self, need: Need, avoided: Collection[PeerId]) -> Sequence[HopTarget]:
        """Hops for the gap; none if there are none."""
        try:
            return self._swarm.plan(need.gap, avoided, need.held_tokens, need.profile)
        except NoRoute:
            return ()

    async def _wait_for_news(self, need: Need, trouble: Trouble) -> None:
        """Asks the swarm anew, and waits, longer each time. Raises NoRoute when the time is over."""
        wait_s = trouble.delay_s * self._rng.uniform(0.8, 1.2)
        if trouble.is_over(self._now() + wait_s):
            raise self._no_route(need) from trouble.last
        trouble.delay_s = min(2 * trouble.delay_s, self._options.retry_s_max)
        await asyncio.gather(self._swarm.refresh(), asyncio.sleep(wait_s))

    def _no_route(self, need: Need) -> NoRoute:
        try:
            self._swarm.plan(need.gap, self._avoided(), need.held_tokens, need.profile)
        except NoRoute as error:
            return error
        return NoRoute(f"no provider of blocks {need.gap} can be used now; try again later", missing=(need.gap,))

    def _avoided(self) -> frozenset[PeerId]:
        return self._suspects.avoided(self._now())

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _is_final(error: ComputeError, *, suspected: bool) -> bool:
    """Whether trying on is of no use: a lie, our own doing, or an objection of whoever is left."""
    if error.peer is None or isinstance(error, BadReceipt | Equivocation):
        return True
    return isinstance(error, CallerError) and suspected


def _let_go(building: asyncio.Task[list[HopConnection]]) -> None:
    """Closes hops that were built for nothing."""
    if not building.cancelled() and building.exception() is None:
        for hop in building.result():
            hop.close()
