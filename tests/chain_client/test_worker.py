"""The thread for work that blocks."""

from __future__ import annotations

import threading

import pytest

from chain_client.worker import Worker


def test_jobs_are_done_in_order_and_give_what_they_give() -> None:
    worker, done = Worker("test"), list[int]()
    futures = [worker.run(lambda number=number: done.append(number) or -number) for number in range(5)]
    worker.end()
    assert [future.result(10) for future in futures] == [0, -1, -2, -3, -4]
    assert done == [0, 1, 2, 3, 4]


def test_an_error_reaches_who_waits_and_the_thread_goes_on() -> None:
    worker = Worker("test")
    failed = worker.run(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failed.result(10)
    assert worker.run(lambda: 1).result(10) == 1
    worker.end()


def test_a_job_that_was_cancelled_in_time_is_not_done() -> None:
    worker, hold, done = Worker("test"), threading.Event(), list[int]()
    first = worker.run(lambda: hold.wait(10))
    assert worker.run(lambda: done.append(1)).cancel()
    last = worker.run(lambda: done.append(2))
    hold.set()
    last.result(10)
    assert first.result(10) is True
    assert done == [2]
    worker.end()


def test_after_the_end_nothing_is_taken() -> None:
    worker = Worker("test")
    before = worker.run(threading.current_thread)
    worker.end()
    with pytest.raises(RuntimeError, match="ended"):
        worker.run(lambda: None)
    thread = before.result(10)
    assert thread.daemon
    thread.join(10)
    assert not thread.is_alive()
