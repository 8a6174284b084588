"""The asyncio face of one device: sessions in, batches out.

All bookkeeping (sessions, lanes, scheduler, budget) lives on the event loop. One worker thread owns the device and is
given one batch at a time; while it computes, the loop stays free, and what arrives meanwhile forms the next batch.

A step first pays for its keys and values (waiting its turn when the cache is full), then waits for the scheduler,
perhaps in pieces, and takes effect as a whole: one that fails or is cancelled leaves its session as it was before. The
batch on the device is never changed under it: cancellation, close and the like take effect when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch

from compute.errors import BadRequest, CacheFull, ComputeError, Overloaded
from compute.models.span import LoadedSpan
from compute.runner.blocks import BatchRow, BlockRunner
from compute.runner.device import Device
from compute.runner.engine_types import (
    EngineOptions,
    EngineStats,
    HeldByClient,
    OpenSession,
    StepInProgress,
    StepResult,
    bytes_held,
    free_cores,
)
from compute.runner.groups import DecodeGroups
from compute.runner.pool import CachePool
from compute.runner.prefix_sharing import PrefixSharing
from compute.runner.room import Asker, RoomQueue
from compute.runner.scheduler import Iteration, Piece, Scheduler, StepKey, Work
from compute.runner.sessions import Draft, SessionLanes
from compute.types import SessionId, Span, StepHeader

__all__ = ["Engine", "EngineOptions", "EngineStats", "StepResult"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

_EWMA = 0.2


class Engine:
    """Continuous batching over sessions on one loaded span. Methods run on one event loop."""

    def __init__(self, loaded: LoadedSpan, options: EngineOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._loaded = loaded
        self._options = options
        self._clock = clock
        self._runner = BlockRunner(loaded)
        self._pool = CachePool(options.cache_bytes)
        self._scheduler = Scheduler(options.scheduler)
        self._groups = DecodeGroups(loaded.n_blocks_of_model)
        self._sessions: dict[SessionId, OpenSession] = {}
        self._steps: dict[StepKey, StepInProgress] = {}
        self._training: dict[StepKey, tuple[Callable[[], Any], asyncio.Future[Any]]] = {}
        self._keys = itertools.count()
        self._room = RoomQueue(options.cache_bytes, HeldByClient(self._pool, self._sessions))
        self._served_at = 0
        self._sharing = PrefixSharing(
            self._runner.shape, self._pool, loaded.dtype, loaded.span.start, options.share_between_clients
        )
        self._wake = asyncio.Event()
        self._batch_end = asyncio.Event()
        self._device = Device(self._runner, loaded.device)
        self._driver: asyncio.Task[None] | None = None
        self._stopping = False
        self._running: frozenset[StepKey] = frozenset()
        self._recent_steps = deque([0, 0], maxlen=2)
        self._decode_s: float | None = None
        self._queue_s = 0.0
        self._tokens_total = 0

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        threads = self._options.threads or free_cores()
        await self._device.run(partial(torch.set_num_threads, threads))
        self._driver = asyncio.create_task(self._drive(), name="engine")

    async def stop(self) -> None:
        """Ends after the running batch. Every session is closed: steps that wait raise Overloaded. Idempotent."""
        self._stopping = True
        self._wake.set()
        for session in list(self._sessions):
            self._end(session, Overloaded("this provider is stopping; take another one"))
        for _, future in self._training.values():
            future.cancel()
        if self._driver is not None:
            await asyncio.shield(self._driver)
        self._device.stop()

    # ------------------------------------------------------------ sessions

    async def open(self, session: SessionId, client: str, span: Span, lanes: int, max_tokens: int) -> None:
        """Takes a session in; its cache grows only as it is used.

        `client` is whom scheduler and cache are fair to. Raises BadRequest when the span is not served here or the id
        is in use, Overloaded when there are too many sessions, CacheFull when there is no room for even one token and
        no other client holds more than its share of it.
        """
        if not self._loaded.span.covers(span):
            raise BadRequest(f"blocks {span} are not served here, but {self._loaded.span}", span=self._loaded.span)
        if session in self._sessions:
            raise BadRequest("a session with this id is open already; draw another id")
        if lanes < 1 or max_tokens < 1:
            raise BadRequest("a session has at least one lane of at least one token")
        if self._stopping or len(self._sessions) >= self._options.sessions_max:
            raise Overloaded("too many sessions are open; try again soon or another provider", retry_after_s=5.0)
        is_full = self._pool.bytes_used + self._runner.shape.bytes_per_token > self._pool.bytes_max
        if is_full and not self._room.may_ask(client):
            raise CacheFull("the cache is full; wait, or take another provider", retry_after_s=self._retry_after_s())
        self._sessions[session] = OpenSession(
            client, SessionLanes(self._runner.shape, self._pool, span, lanes, max_tokens)
        )

    def close(self, session: SessionId) -> None:
        """Frees what the session holds: at once, or after the batch that is using it now. Unknown ids are no error."""
        self._end(session, BadRequest("the session was closed while a step of it was running"))

    def _end(self, session: SessionId, reason: ComputeError) -> None:
        gone = self._sessions.pop(session, None)
        if gone is None:
            return
        gone.closed = reason
        self._groups.forget(id(gone))
        if gone.asker is not None and not gone.asker.turn.done():
            gone.asker.turn.set_exception(reason)
            gone.asker.turn.exception()
        step = gone.step
        if step is not None and not step.done.done():
            step.done.set_exception(reason)
            step.done.exception()  # its waiter may be gone already
        if step is None:
            if gone.draft is not None:  # its room has just been taken
                gone.draft.free()
                gone.draft = None
            gone.state.free()
        elif step.key not in self._running:
            self._abandon(step)
        self._room_was_made()

    # ------------------------------------------------------------ steps

    async def step(self, session: SessionId, header: StepHeader, hidden: torch.Tensor) -> StepResult:
        """Runs one step of a session; it takes effect as a whole or not at all.

        `hidden` `[header.n_tokens, width]`, any float dtype. Raises BadRequest for what does not fit the session,
        CacheFull (with the time to wait) when no room comes free in time, Overloaded when the queue is full.
        """
        owner = self._sessions.get(session)
        if owner is None:
            raise BadRequest("this session is not open; open a new one")
        if owner.is_stepping:
            raise BadRequest("a step of this session is running; steps are sent one after the other")
        arrived_s = self._clock()
        owner.is_stepping = True
        try:
            while owner.step is not None:  # a cancelled step is still on the device
                await self._batch_end.wait()
            await owner.may_step.wait()
            self._check(owner, header, hidden)
            draft = await self._begin(owner, header)
            step = StepInProgress.of(StepKey(next(self._keys)), owner, draft, header, hidden, arrived_s)
            await self._run_step(owner, step)
            return self._finish(step, hidden)
        finally:
            owner.is_stepping = False

    def _check(self, owner: OpenSession, header: StepHeader, hidden: torch.Tensor) -> None:
        if owner.closed is not None:
            raise owner.closed
        owner.state.check(header, hidden, self._loaded.width)
        if self._scheduler.queued_tokens + header.n_tokens > self._options.queue_tokens_max:
            raise Overloaded("the queue is full; try again soon", retry_after_s=max(0.1, self._queue_s))

    async def _begin(self, owner: OpenSession, header: StepHeader) -> Draft:
        """The step's lanes, paid for. Waits its turn for room until `cache_wait_s` have passed."""

        def attempt() -> bool:
            # Room may come while the lane is being put on a shared head, which must find what was compared.
            owner.draft = owner.state.begin(header) if owner.may_step.is_set() else None
            return owner.draft is not None

        with self._pool.held_back():
            took_nothing = attempt()
        if not took_nothing:
            await self._wait_for_room(owner, header.n_tokens * self._runner.shape.bytes_per_token, attempt)
        if owner.closed is not None:
            raise owner.closed
        assert owner.draft is not None
        return owner.draft

    async def _wait_for_room(self, owner: OpenSession, n_bytes: int, attempt: Callable[[], bool]) -> None:
        asker = Asker(owner.client, n_bytes, attempt, asyncio.get_running_loop().create_future())
        is_possible = n_bytes <= self._pool.bytes_max  # what can never fit must not hold up the line
        try:
            if is_possible:
                owner.asker = asker
                self._room.ask(asker)
            async with asyncio.timeout(self._options.cache_wait_s if is_possible else 0):
                await asker.turn
        except BaseException as error:
            if owner.draft is not None:  # room was taken in the moment in which the step gave up
                owner.draft.undo()
                owner.draft = None
                self._room_was_made()
            if not isinstance(error, TimeoutError):
                raise
            text = "the cache is full; wait, or take another provider"
            raise CacheFull(text, retry_after_s=self._retry_after_s()) from None
        finally:
            owner.asker = None
            self._room.leave(asker)

    def _retry_after_s(self) -> float:
        """Sessions free what they hold when they end, which nobody knows ahead: a patient guess."""
        return max(1.0, self._options.cache_wait_s)

    def _room_was_made(self) -> None:
        """Something ended: who waits for room may get it, and lanes between steps may come to share."""
        if self._served_at != (before := self._pool.n_changes):  # most steps end without a change
            self._room.serve()
            # Under a batch lanes grow, and give back at any moment; otherwise only the attempts changed something.
            self._served_at = before if self._running else self._pool.n_changes
        self._wake.set()

    async def _run_step(self, owner: OpenSession, step: StepInProgress) -> None:
        """Waits until all pieces of the step have run, and keeps what they did; or undoes it, whatever else happens."""
        owner.step = self._steps[step.key] = step
        try:
            if step.rows:
                work = Work(step.key, owner.client, owner.state.span, tuple(row.n_tokens for row in step.rows))
                self._scheduler.submit(work)
                if work.is_decode:
                    self._groups.saw(id(owner), work.n_tokens, step.arrived_s)
                self._wake.set()
                await step.done
        except BaseException:
            if step.key not in self._running:  # otherwise the end of the batch does it
                self._abandon(step)
            raise
        if self._steps.pop(step.key, None) is None and owner.closed is not None:  # in the moment before we woke up
            raise owner.closed
        owner.step = owner.draft = None
        step.draft.keep()
        for row, lane, hidden in zip(step.rows, step.lanes, step.inputs, strict=True):
            self._sharing.prefilled(owner, lane, row, hidden)
        self._room_was_made()

    def _abandon(self, step: StepInProgress) -> None:
        """Takes back all that a step did, and all of its session when that is closed. Idempotent."""
        self._scheduler.cancel(step.key)
        if self._steps.pop(step.key, None) is None:
            return
        step.owner.step = step.owner.draft = None
        if step.owner.closed is not None:
            step.draft.free()
        else:
            step.draft.undo()
        self._room_was_made()

    def _finish(self, step: StepInProgress, hidden: torch.Tensor) -> StepResult:
        if not step.rows:
            return StepResult(hidden.to(self._loaded.dtype), 0.0, 0.0)
        queue_s = max(0.0, step.started_s - step.arrived_s) if step.started_s is not None else 0.0
        self._queue_s += _EWMA * (queue_s - self._queue_s)
        self._tokens_total += sum(row.n_tokens for row in step.rows)
        return StepResult(step.output, step.compute_s, queue_s)

    # ------------------------------------------------------------ training

    async def run_low_priority(self, work: Callable[[], T], tokens: int = 0) -> T:
        """Runs one slice of a training pass on the device's thread, when decoding leaves room for it.

        Decoding waits for it, so it is bounded: raises BadRequest for more than `training_tokens_max` tokens.
        """
        if tokens > self._options.training_tokens_max:
            raise BadRequest(f"a training slice has at most {self._options.training_tokens_max} tokens; cut it")
        key = StepKey(next(self._keys))
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._training[key] = (work, future)
        self._scheduler.submit_training(key, self._clock())
        self._wake.set()
        try:
            return await future
        finally:
            self._scheduler.cancel(key)
            self._training.pop(key, None)

    # ------------------------------------------------------------ the device

    async def _drive(self) -> None:
        """Top of the engine's task: batch after batch until `stop`."""
        try:
            while not self._stopping:
                await self._iterate()
        finally:
            self._sharing.clear()

    async def _iterate(self) -> None:
        self._wake.clear()  # before looking: what comes from here on must end the wait below
        await self._gather()
        if await self._sharing.run_due(self._sessions.values(), self._device.run):
            self._room.serve()
        now_s = self._clock()
        iteration = self._scheduler.plan(now_s, partial(self._groups.tokens_max, now_s=now_s))
        if iteration is None:
            await self._wake.wait()
        elif iteration.training is not None:
            await self._run_training(iteration.training)
        else:
            try:
                await self._run_batch(iteration)
            except Exception as error:
                logger.exception("a batch failed outside the blocks")
                self._fail({piece.key for piece in iteration.pieces}, error)

    async def _gather(self) -> None:
        """Lets steps that arrive together run together: what is on the loop already always, later ones for `gather_s`.

        Clients in lock-step come back shortly after each other; waiting for as many as ran lately saves a batch.
        """
        await asyncio.sleep(0)
        deadline_s = self._clock() + self._options.gather_s
        while 0 < len(self._scheduler) < max(self._recent_steps) and (left_s := deadline_s - self._clock()) > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left_s)
            if self._stopping:
                self._wake.set()

    async def _run_training(self, key: StepKey) -> None:
        work, future = self._training[key]
        try:
            result = await self._device.run(work)
        except Exception as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)

    async def _run_batch(self, iteration: Iteration) -> None:
        assert iteration.span is not None
        keys = frozenset(piece.key for piece in iteration.pieces)
        started_s = self._clock()
        for key in keys:
            if self._steps[key].started_s is None:
                self._steps[key].started_s = started_s
        rows = [self._batch_row(piece) for piece in iteration.pieces]
        self._running = keys
        self._batch_end.clear()
        try:
            outputs = await self._device.run_rows(iteration.span, rows)
        finally:
            self._running = frozenset()
            self._batch_end.set()
        taken_s = self._clock() - started_s
        self._recent_steps.append(len(keys))
        if any(row.hidden.shape[0] == 1 for row in rows):
            self._decode_s = taken_s if self._decode_s is None else self._decode_s + _EWMA * (taken_s - self._decode_s)
        for piece, row, output in zip(iteration.pieces, rows, outputs, strict=True):
            self._deliver(piece, row, output)
        for key in keys:
            self._settle(self._steps[key], taken_s)
        self._room_was_made()  # lanes that grew gave their smaller buffers back

    def _batch_row(self, piece: Piece) -> BatchRow:
        step = self._steps[piece.key]
        return BatchRow(step.lanes[piece.row], step.inputs[piece.row][piece.start : piece.start + piece.n_tokens])

    def _deliver(self, piece: Piece, row: BatchRow, output: torch.Tensor | Exception) -> None:
        step = self._steps[piece.key]
        if step.done.done():
            return
        if isinstance(output, Exception):
            step.done.set_exception(output)
        else:
            row.lane.commit(piece.n_tokens)
            step.outputs[piece.row].append(output)
            step.tokens_left -= piece.n_tokens

    def _settle(self, step: StepInProgress, taken_s: float) -> None:
        """After a batch: ends a step that is complete, or whose waiter went away while it ran."""
        step.compute_s += taken_s
        if step.done.done():
            self._abandon(step)
        elif step.tokens_left == 0:
            step.done.set_result(None)

    def _fail(self, keys: set[StepKey], error: Exception) -> None:
        for key in keys:
            if (step := self._steps.get(key)) is None:
                continue
            if not step.done.done():
                step.done.set_exception(ComputeError(f"the engine failed on this step: {type(error).__name__}"))
            self._abandon(step)

    # ------------------------------------------------------------ facts

    def stats(self) -> EngineStats:
        return EngineStats(
            sessions=len(self._sessions),
            queued_tokens=self._scheduler.queued_tokens,
            cache_bytes_used=self._pool.bytes_used,
            cache_bytes_budget=self._pool.bytes_max,
            cached_tokens=sum(lane.length for s in self._sessions.values() for lane in s.state.lanes),
            decode_s=self._decode_s or 0.0,
            queue_s=self._queue_s,
            tokens_total=self._tokens_total,
        )

    def check_integrity(self) -> None:
        """Raises AssertionError unless what is paid from the pool is exactly what lanes and segments hold.

        Nothing is looked at while the device works on lanes: they may be growing.
        """
        if self._running or self._sharing.is_running:
            return
        held = bytes_held(self._sessions.values(), self._sharing.heads)
        if held != self._pool.bytes_used:
            raise AssertionError(f"lanes hold {held} bytes, the pool counts {self._pool.bytes_used}")
