"""Records stay fresh, and a swarm that is away for a moment is tried again."""

from __future__ import annotations

import asyncio

import pytest

from compute.server.announcer import Announcer


class Swarm:
    def __init__(self, failures: int = 0) -> None:
        self.published = asyncio.Queue[int]()
        self.calls = 0
        self.failures = failures

    async def publish(self) -> None:
        self.calls += 1
        if self.calls <= self.failures:
            raise ConnectionError("nobody there")
        self.published.put_nowait(self.calls)

    async def next(self) -> int:
        return await asyncio.wait_for(self.published.get(), 2.0)


async def test_it_publishes_again_and_again() -> None:
    swarm = Swarm()
    announcer = Announcer(swarm.publish, refresh_s=0.01)
    announcer.start()
    assert [await swarm.next() for _ in range(3)] == [1, 2, 3]
    await announcer.stop()
    assert swarm.calls - swarm.published.qsize() == 3


async def test_a_poke_publishes_at_once() -> None:
    swarm = Swarm()
    announcer = Announcer(swarm.publish, refresh_s=3600.0)
    announcer.start()
    announcer.poke()
    assert await swarm.next() == 1
    await announcer.stop()


async def test_a_failure_is_said_and_tried_again_sooner(caplog: pytest.LogCaptureFixture) -> None:
    swarm = Swarm(failures=2)
    announcer = Announcer(swarm.publish, refresh_s=3600.0, retry_s=0.01)
    announcer.start()
    announcer.poke()
    assert await swarm.next() == 3
    assert caplog.text.count("nobody there") == 2
    await announcer.stop()


async def test_stopping_before_starting_is_harmless() -> None:
    await Announcer(Swarm().publish, refresh_s=1.0).stop()
