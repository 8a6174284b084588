"""The thread below blocking sessions: results, errors, interruption, end."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

import pytest
import torch

from compute.client.blocking import BlockingSession, LoopThread
from compute.errors import BadRequest, NoRoute
from compute.types import Row


@pytest.fixture
def loop_thread() -> Any:
    thread = LoopThread("test-loop")
    yield thread
    thread.stop()
    assert "test-loop" not in {t.name for t in threading.enumerate()}


def test_results_and_errors_cross_the_thread(loop_thread: LoopThread) -> None:
    async def fail() -> None:
        raise NoRoute("none")

    assert loop_thread.run(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(NoRoute):
        loop_thread.run(fail())


def test_a_stopped_loop_says_so_and_stops_twice() -> None:
    thread = LoopThread("short")
    thread.stop()
    thread.stop()
    thread.post(lambda: None)
    with pytest.raises(BadRequest, match="closed"):
        thread.run(asyncio.sleep(0))


def test_stopping_cancels_what_still_runs(loop_thread: LoopThread) -> None:
    cancelled = threading.Event()
    running = threading.Event()

    async def forever() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    loop_thread.post(lambda: setattr(loop_thread, "task", asyncio.ensure_future(forever())))
    assert running.wait(5)
    loop_thread.stop()
    assert cancelled.is_set()


class Sleepy:
    """Stands for a session whose step ends only by cancellation or by closing."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.stopped = threading.Event()
        self.closed = threading.Event()

    async def step(self, rows: Any, hidden: Any, fork: Any) -> None:
        self.started.set()
        try:
            await asyncio.wait_for(asyncio.to_thread(self.closed.wait), 10)
        finally:
            self.stopped.set()

    def close(self) -> None:
        self.closed.set()


def test_ctrl_c_in_a_step_closes_the_session_and_passes(loop_thread: LoopThread) -> None:
    sleepy = Sleepy()
    session = BlockingSession(sleepy, loop_thread)  # type: ignore[arg-type]
    interrupter = threading.Thread(target=lambda: sleepy.started.wait(5) and os.kill(os.getpid(), signal.SIGINT))
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        session.step([Row(0, 0, 1)], torch.zeros(1, 8))
    interrupter.join()
    assert sleepy.stopped.wait(5)
    assert sleepy.closed.wait(5)
