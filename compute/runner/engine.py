"""The asyncio face of one device: sessions in, batches out.

All bookkeeping (sessions, lanes, scheduler, budget) lives on the event loop and is never touched elsewhere. One worker
thread owns the device and is given one batch at a time; while it computes, the loop stays free, and what arrives
meanwhile forms the next batch.

A step first pays for its keys and values (waiting its turn when the cache is full), then waits for the scheduler, perhaps
in pieces, and takes effect as a whole: one that fails or is cancelled leaves its session as it was before, apart from
roll-backs that it asked for. Lanes of the batch that is on the device are never freed or changed under it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from compute.errors import BadRequest, CacheFull, Overloaded, PeerInternal
from compute.models.span import LoadedSpan
from compute.runner.blocks import BatchRow, BlockRunner
from compute.runner.cache import CachePool, LaneCache
from compute.runner.scheduler import Iteration, Piece, Scheduler, SchedulerOptions, StepKey, Work
from compute.types import Row, SessionId, Span, StepHeader

logger = logging.getLogger(__name__)
T = TypeVar("T")

_EWMA = 0.2


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Bounds of one provider's device.

    Args:
        cache_bytes: keys and values of all sessions together. Hard.
        cache_wait_s: the longest that a step waits for room before it is refused.
        sessions_max: open at once.
        queue_tokens_max: waiting at once; beyond it steps are refused, so that waiting times stay bounded.
        scheduler: budgets of one iteration.
        threads: of one operation on the CPU; None leaves torch's setting.
    """

    cache_bytes: int
    cache_wait_s: float = 2.0
    sessions_max: int = 256
    queue_tokens_max: int = 32_768
    scheduler: SchedulerOptions = field(default_factory=SchedulerOptions)
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """`hidden` `[n_tokens, width]` in the span's dtype; the blocks' own time, and the wait before it, in seconds."""

    hidden: torch.Tensor
    compute_s: float
    queue_s: float


@dataclass(frozen=True, slots=True)
class EngineStats:
    """`decode_s`: recent mean time of a batch that held a decode step; `queue_s`: recent mean wait of a step."""

    sessions: int
    queued_tokens: int
    cache_bytes_used: int
    cache_bytes_budget: int
    cached_tokens: int
    decode_s: float
    queue_s: float
    tokens_total: int


@dataclass(slots=True)
class _Session:
    client: str
    span: Span
    lanes_max: int
    max_tokens: int
    lanes: list[LaneCache]
    step: _Step | None = None


@dataclass(slots=True)
class _Step:
    """A step on its way: `lanes` are those of its rows, `all_lanes` what the session will have after it."""

    key: StepKey
    session: _Session
    rows: tuple[Row, ...]
    lanes: list[LaneCache]
    all_lanes: list[LaneCache]
    inputs: tuple[torch.Tensor, ...]
    outputs: list[list[torch.Tensor]]
    done: asyncio.Future[None]
    arrived_s: float
    started_s: float | None = None
    compute_s: float = 0.0
    tokens_left: int = 0


class Engine:
    """Continuous batching over sessions on one loaded span. Methods run on one event loop."""

    def __init__(self, loaded: LoadedSpan, options: EngineOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._loaded = loaded
        self._options = options
        self._clock = clock
        self._runner = BlockRunner(loaded)
        self._pool = CachePool(options.cache_bytes)
        self._scheduler = Scheduler(options.scheduler)
        self._sessions: dict[SessionId, _Session] = {}
        self._steps: dict[StepKey, _Step] = {}
        self._training: dict[StepKey, tuple[Callable[[], Any], asyncio.Future[Any]]] = {}
        self._keys = itertools.count()
        self._room_waiters: deque[asyncio.Future[None]] = deque()
        self._wake = asyncio.Event()
        self._device = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._driver: asyncio.Task[None] | None = None
        self._running: set[StepKey] = set()
        self._busy: set[int] = set()
        self._batch_end: asyncio.Event = asyncio.Event()
        self._doomed: list[LaneCache] = []
        self._decode_s = self._queue_s = 0.0
        self._tokens_total = 0

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        threads = self._options.threads
        if threads is not None:
            await asyncio.get_running_loop().run_in_executor(self._device, torch.set_num_threads, threads)
        self._driver = asyncio.create_task(self._drive(), name="engine")

    async def stop(self) -> None:
        """Ends after the running batch. Steps that wait raise Overloaded; every session is closed."""
        if self._driver is not None:
            self._driver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._driver
        for session in list(self._sessions):
            self.close(session)
        for _, future in self._training.values():
            future.cancel()
        self._device.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------ sessions

    async def open(self, session: SessionId, client: str, span: Span, lanes: int, max_tokens: int) -> None:
        """Takes a session in; its cache grows only as it is used.

        `client` is whom the scheduler is fair to. Raises BadRequest when the span is not served here or the id is in use,
        Overloaded when there are too many sessions.
        """
        if not self._loaded.span.covers(span):
            raise BadRequest(f"blocks {span} are not served here, but {self._loaded.span}", span=self._loaded.span)
        if session in self._sessions:
            raise BadRequest("a session with this id is open already; draw another id")
        if len(self._sessions) >= self._options.sessions_max:
            raise Overloaded("too many sessions are open; try again soon or another provider", retry_after_s=5.0)
        self._sessions[session] = _Session(client, span, lanes, max_tokens, [])

    def close(self, session: SessionId) -> None:
        """Frees what the session holds: at once, or after the batch that is using it now. Unknown ids are no error."""
        gone = self._sessions.pop(session, None)
        if gone is None:
            return
        lanes = {id(lane): lane for lane in gone.lanes}
        if (step := gone.step) is not None:
            lanes.update({id(lane): lane for lane in step.all_lanes})
            if not step.done.done():
                step.done.set_exception(BadRequest("the session was closed while a step of it was running"))
        self._forget_lanes(list(lanes.values()))

    # ------------------------------------------------------------ steps

    async def step(self, session: SessionId, header: StepHeader, hidden: torch.Tensor) -> StepResult:
        """Runs one step of a session and commits it.

        `hidden` `[header.n_tokens, width]`, any float dtype. Raises BadRequest for what does not fit the session, CacheFull
        (with the time to wait) when no room comes free in time, Overloaded when the queue is full. After an error or a
        cancellation the lanes are as before, apart from roll-backs that the step asked for.
        """
        owner = self._owner(session)
        arrived_s = self._clock()
        while any(
            id(lane) in self._busy for lane in owner.lanes
        ):  # a cancelled step of this session is still on the device
            await self._batch_end.wait()
        self._check(owner, header, hidden)
        lanes = await self._prepare_lanes(session, owner, header)
        try:
            rows = tuple(row for row in header.rows if row.n_tokens)
            for row in header.rows:
                lanes[row.lane].truncate(row.position)
            step = self._make_step(owner, rows, lanes, hidden, arrived_s)
            if rows:
                await self._run_step(owner, step)
        except BaseException:
            if self._sessions.get(session) is owner:  # otherwise close() has freed them
                self._forget_lanes(_without(lanes, owner.lanes))
            raise
        finally:
            owner.step = None
        self._forget_lanes(_without(owner.lanes, lanes))
        owner.lanes = lanes
        return self._finish(step, hidden)

    def _owner(self, session: SessionId) -> _Session:
        owner = self._sessions.get(session)
        if owner is None:
            raise BadRequest("this session is not open; open a new one")
        if owner.step is not None:
            raise BadRequest("a step of this session is running; steps are sent one after the other")
        return owner

    def _check(self, owner: _Session, header: StepHeader, hidden: torch.Tensor) -> None:
        n_lanes = len(header.fork) or max(len(owner.lanes), *(row.lane + 1 for row in header.rows), 1)
        lengths = [lane.length for lane in owner.lanes]
        if any(source >= len(lengths) for source in header.fork):
            raise BadRequest(f"a fork of a lane that is not there: the session has {len(lengths)}")
        if n_lanes > owner.lanes_max:
            raise BadRequest(f"{n_lanes} lanes; the session was opened for {owner.lanes_max}")
        current = [lengths[source] for source in header.fork] if header.fork else lengths
        for row in header.rows:
            length = current[row.lane] if row.lane < len(current) else 0
            if row.lane >= n_lanes or row.position > length:
                raise BadRequest(f"position {row.position} of lane {row.lane} is beyond its {length} tokens")
            if row.position + row.n_tokens > owner.max_tokens:
                raise BadRequest(f"the session was opened for {owner.max_tokens} tokens a lane")
        if hidden.shape != (header.n_tokens, self._loaded.width):
            raise BadRequest(
                f"the tensor is {list(hidden.shape)} where the step has [{header.n_tokens}, {self._loaded.width}]"
            )
        if self._scheduler.queued_tokens + header.n_tokens > self._options.queue_tokens_max:
            raise Overloaded("the queue is full", retry_after_s=max(0.1, self._queue_s))

    async def _prepare_lanes(self, session: SessionId, owner: _Session, header: StepHeader) -> list[LaneCache]:
        """The lanes after the step's fork, with room for its rows. The session's own list is not changed."""
        deadline_s = self._clock() + self._options.cache_wait_s
        while True:
            lanes = self._try_prepare(owner, header)
            if lanes is not None:
                return lanes
            await self._wait_for_room(deadline_s)
            if self._sessions.get(session) is not owner:
                raise BadRequest("the session was closed while a step of it waited for room")

    def _try_prepare(self, owner: _Session, header: StepHeader) -> list[LaneCache] | None:
        lanes = self._forked(owner.lanes, header.fork) if header.fork else list(owner.lanes)
        if lanes is None:
            return None
        while len(lanes) < max((row.lane + 1 for row in header.rows), default=0):
            lanes.append(LaneCache(self._runner.shape, self._pool))
        for row in header.rows:
            if not lanes[row.lane].reserve(row.position, row.n_tokens):
                self._forget_lanes(_without(lanes, owner.lanes))
                return None
        return lanes

    def _forked(self, sources: Sequence[LaneCache], fork: Sequence[int]) -> list[LaneCache] | None:
        """Each source moves to the first lane that continues it and is copied, prefix shared, for the others."""
        lanes: list[LaneCache] = []
        moved: set[int] = set()
        for source in fork:
            if source not in moved:
                moved.add(source)
                if fork.count(source) > 1:
                    sources[source].share()
                lanes.append(sources[source])
            elif (twin := sources[source].fork()) is not None:
                lanes.append(twin)
            else:
                self._forget_lanes(_without(lanes, sources))
                return None
        return lanes

    async def _wait_for_room(self, deadline_s: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._room_waiters.append(waiter)
        try:
            await asyncio.wait_for(waiter, max(0.0, deadline_s - self._clock()))
        except TimeoutError:
            raise CacheFull(
                "the cache is full; wait, or take another provider", retry_after_s=self._options.cache_wait_s
            ) from None
        finally:
            with contextlib.suppress(ValueError):
                self._room_waiters.remove(waiter)

    def _room_was_made(self) -> None:
        for waiter in self._room_waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _make_step(
        self, owner: _Session, rows: tuple[Row, ...], lanes: list[LaneCache], hidden: torch.Tensor, arrived_s: float
    ) -> _Step:
        return _Step(
            key=StepKey(next(self._keys)),
            session=owner,
            rows=rows,
            lanes=[lanes[row.lane] for row in rows],
            all_lanes=lanes,
            inputs=hidden.split([row.n_tokens for row in rows]) if rows else (),
            outputs=[[] for _ in rows],
            done=asyncio.get_running_loop().create_future(),
            arrived_s=arrived_s,
            tokens_left=sum(row.n_tokens for row in rows),
        )

    async def _run_step(self, owner: _Session, step: _Step) -> None:
        """Waits until all pieces of the step have run. Its lanes are rolled back when that does not come about."""
        owner.step = step
        self._steps[step.key] = step
        self._scheduler.submit(Work(step.key, owner.client, owner.span, tuple(row.n_tokens for row in step.rows)))
        self._wake.set()
        try:
            await step.done
        except BaseException:
            self._scheduler.cancel(step.key)
            if step.key not in self._running:  # otherwise the end of the batch does it
                self._undo(step)
            raise

    def _undo(self, step: _Step) -> None:
        """Takes back what the pieces of a step that will not be finished have written."""
        self._steps.pop(step.key, None)
        for lane, row in zip(step.lanes, step.rows, strict=True):
            lane.truncate(min(lane.length, row.position))

    def _finish(self, step: _Step, hidden: torch.Tensor) -> StepResult:
        if not step.rows:
            return StepResult(hidden.to(self._loaded.dtype), 0.0, 0.0)
        started_s = step.started_s if step.started_s is not None else step.arrived_s
        queue_s = max(0.0, started_s - step.arrived_s)
        self._queue_s += _EWMA * (queue_s - self._queue_s)
        self._tokens_total += sum(row.n_tokens for row in step.rows)
        pieces = [piece for row in step.outputs for piece in row]
        output = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        return StepResult(output, step.compute_s, queue_s)

    def _forget_lanes(self, lanes: Sequence[LaneCache]) -> None:
        """Frees lanes: now, or at the end of the batch that they are in."""
        for lane in lanes:
            if id(lane) in self._busy:
                self._doomed.append(lane)
            else:
                lane.free()
        if lanes:
            self._room_was_made()

    # ------------------------------------------------------------ training

    async def run_low_priority(self, work: Callable[[], T]) -> T:
        """Runs one bounded slice of a training pass on the device's thread, when decoding leaves room for it."""
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
        loop = asyncio.get_running_loop()
        while True:
            iteration = self._scheduler.plan(self._clock())
            if iteration is None:
                self._wake.clear()
                await self._wake.wait()
            elif iteration.training is not None:
                await self._run_training(loop, iteration.training)
            else:
                await self._run_batch(loop, iteration)

    async def _run_training(self, loop: asyncio.AbstractEventLoop, key: StepKey) -> None:
        work, future = self._training[key]
        try:
            result = await loop.run_in_executor(self._device, work)
        except Exception as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)

    async def _run_batch(self, loop: asyncio.AbstractEventLoop, iteration: Iteration) -> None:
        assert iteration.span is not None
        self._running = {piece.key for piece in iteration.pieces}
        started_s = self._clock()
        for key in self._running:
            step = self._steps[key]
            if step.started_s is None:
                step.started_s = started_s
        rows = [self._batch_row(piece) for piece in iteration.pieces]
        self._busy = {id(row.lane) for row in rows}
        self._batch_end.clear()
        try:
            outputs = await loop.run_in_executor(self._device, self._compute, iteration.span, rows)
        finally:
            self._running, self._busy = set(), set()
            self._batch_end.set()
        taken_s = self._clock() - started_s
        if any(row.hidden.shape[0] == 1 for row in rows):
            self._decode_s += _EWMA * (taken_s - self._decode_s)
        for piece, row, output in zip(iteration.pieces, rows, outputs, strict=True):
            self._deliver(piece, row, output)
        for key in {piece.key for piece in iteration.pieces}:
            self._settle(self._steps[key], taken_s)
        doomed, self._doomed = self._doomed, []
        self._forget_lanes(doomed)

    def _batch_row(self, piece: Piece) -> BatchRow:
        step = self._steps[piece.key]
        return BatchRow(step.lanes[piece.row], step.inputs[piece.row][piece.start : piece.start + piece.n_tokens])

    def _compute(self, span: Span, rows: Sequence[BatchRow]) -> list[torch.Tensor | Exception]:
        """On the device's thread: an output, on the CPU, or an error for every row. One bad row never fails the others."""
        try:
            outputs = self._runner.run(span, rows)
        except Exception as error:
            if len(rows) == 1:
                logger.exception("a step failed in the blocks")
                return [error]
            return [self._compute(span, [row])[0] for row in rows]
        return [output.cpu() for output in outputs]

    def _deliver(self, piece: Piece, row: BatchRow, output: torch.Tensor | Exception) -> None:
        step = self._steps[piece.key]
        if step.done.done():
            return
        if isinstance(output, Exception):
            step.done.set_exception(PeerInternal(f"the blocks failed: {type(output).__name__}"))
        elif not torch.isfinite(output).all():
            step.done.set_exception(
                BadRequest("the step's activations lead to NaN or infinite values; they are refused")
            )
        else:
            row.lane.commit(piece.n_tokens)
            step.outputs[piece.row].append(output)
            step.tokens_left -= piece.n_tokens

    def _settle(self, step: _Step, taken_s: float) -> None:
        """Ends a step that is complete, or whose waiter went away while it ran."""
        step.compute_s += taken_s
        if step.done.done():
            self._scheduler.cancel(step.key)
            self._undo(step)
        elif step.tokens_left == 0:
            self._steps.pop(step.key, None)
            step.done.set_result(None)

    # ------------------------------------------------------------ facts

    def stats(self) -> EngineStats:
        return EngineStats(
            sessions=len(self._sessions),
            queued_tokens=self._scheduler.queued_tokens,
            cache_bytes_used=self._pool.bytes_used,
            cache_bytes_budget=self._pool.bytes_max,
            cached_tokens=sum(lane.length for s in self._sessions.values() for lane in s.lanes),
            decode_s=self._decode_s,
            queue_s=self._queue_s,
            tokens_total=self._tokens_total,
        )

    def check_integrity(self) -> None:
        """Raises AssertionError unless what is paid from the pool is exactly what lanes and segments hold."""
        lanes = {id(lane): lane for s in self._sessions.values() for lane in s.lanes}
        for step in self._steps.values():
            lanes.update({id(lane): lane for lane in step.all_lanes})
        lanes.update({id(lane): lane for lane in self._doomed})
        segments = {id(segment): segment for lane in lanes.values() for segment in lane.segments}
        held = sum(lane.bytes_paid for lane in lanes.values()) + sum(s.paid for s in segments.values())
        if held != self._pool.bytes_used:
            raise AssertionError(f"lanes hold {held} bytes, the pool counts {self._pool.bytes_used}")


def _without(lanes: Sequence[LaneCache], others: Sequence[LaneCache]) -> list[LaneCache]:
    """Those of `lanes` that are none of `others`."""
    known = {id(lane) for lane in others}
    return [lane for lane in lanes if id(lane) not in known]
