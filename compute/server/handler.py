"""Session streams: what the session machine decides, done over libp2p.

One `SessionStream` per incoming stream. Its reader never stops reading, so that a close, a cut or a dead client is seen
while a step is being computed; the machine (`session.py`) says what each message means. Writing never waits: a message
goes into the transport's buffer at once, and a client that does not take it out in time is cut. So a slow or hostile
client holds no task of ours, and nobody else's session waits for it.

Everything that a session holds (its cache in the engine, its place among the peer's sessions) is given back in `_free`,
in the same turn of the loop in which the machine says `End`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch

from compute.errors import BadMessage, BadRequest, ComputeError
from compute.identity import Signer
from compute.server.admission import AdmissionLimits
from compute.server.session import (
    Abandon,
    Decision,
    Decisions,
    End,
    OpenEngine,
    Phase,
    RunStep,
    SendAck,
    SendHeartbeat,
    SendOpened,
    SendRefusal,
    SessionMachine,
    SessionTimes,
)
from compute.server.terms import ServedTerms
from compute.types import PeerId, SessionId, Span, StepHeader
from compute.wire.codecs import EncodedTensor, decode, encode, tensor_hash
from compute.wire.frames import frame, read_frame
from compute.wire.limits import WireLimits
from compute.wire.messages import (
    Heartbeat,
    ServerMessage,
    SessionOpen,
    SessionOpened,
    StepAck,
    StepMessage,
    StepOutput,
    build_server_message,
    parse_client_message,
    refusal_of,
)
from compute.wire.receipts import ReceiptIssuer, SessionIdentity

if TYPE_CHECKING:
    from compute.runner.engine import EngineStats, StepResult

logger = logging.getLogger(__name__)
T = TypeVar("T")


class SessionEngine(Protocol):
    """What a session needs of `compute.runner.engine.Engine`."""

    async def open(self, session: SessionId, client: str, span: Span, lanes: int, max_tokens: int) -> None: ...
    async def step(self, session: SessionId, header: StepHeader, hidden: torch.Tensor) -> StepResult: ...
    def close(self, session: SessionId) -> None: ...
    def stats(self) -> EngineStats: ...


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """Limits and times of all sessions of a provider.

    Args:
        wire: of single messages.
        open_bytes_max: of a stream's first message, which carries no tensor.
        write_stall_s: a client that takes nothing out of the stream for so long is cut.
        write_buffer_bytes_max: the most that may wait for a client; one answer always fits.
        linger_s: how long a refused client may take to read why and to end the stream, its session being free already.
        offload_bytes: tensors above this are encoded, decoded and hashed off the event loop: about 1 ms of work.
    """

    times: SessionTimes = field(default_factory=SessionTimes)
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)
    wire: WireLimits = field(default_factory=WireLimits)
    open_bytes_max: int = 4096
    write_stall_s: float = 10.0
    write_buffer_bytes_max: int = 32 << 20
    linger_s: float = 1.0
    offload_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        if self.write_buffer_bytes_max < self.wire.message_bytes_max:
            raise ValueError("write_buffer_bytes_max must hold one message of message_bytes_max")
        if not (self.write_stall_s > 0 and self.linger_s > 0):
            raise ValueError("write_stall_s and linger_s must be above 0 seconds")


@dataclass(slots=True)
class SharedState:
    """What all streams of a provider share.

    `session_ids` are those that the engine holds. `on_end` is called once for every stream, when all that it held is
    free.
    """

    engine: SessionEngine
    terms: ServedTerms
    signer: Signer
    options: ServiceOptions
    clock: Callable[[], float]
    codec_pool: Executor
    on_end: Callable[[SessionStream], None]
    session_ids: set[SessionId] = field(default_factory=set)

    async def offloaded(self, n_bytes: int, work: Callable[[], T]) -> T:
        """The result of `work`: done here when it is small, in the codec thread when it would hold up the loop."""
        if n_bytes <= self.options.offload_bytes:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self.codec_pool, work)


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that the engine holds for a stream."""

    request: SessionOpen
    receipts: ReceiptIssuer


class SessionStream:
    """One stream with the machine that rules it."""

    def __init__(
        self, shared: SharedState, peer: PeerId, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.peer = peer
        self._shared = shared
        self._reader = reader
        self._writer = writer
        self._machine = SessionMachine(shared.terms, shared.options.times, now=shared.clock())
        self._session: OpenSession | None = None  # while the engine holds it for us
        self._work: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._refused = False
        self._unsent_bytes = 0
        self._unsent_since = shared.clock()

    async def run(self) -> None:
        """Serves the session to its end; then its client may read the last message for a moment."""
        reading = asyncio.create_task(self._read(), name=f"session-reader-{self.peer}")
        self._arm()
        try:
            await self._ended.wait()
        finally:
            self._do(self._machine.end_of_stream())
            reading.cancel()
            await asyncio.wait({reading, *([self._work] if self._work else [])})
        if self._refused:
            await end_politely(self._reader, self._writer, self._shared.options.linger_s)
        self._writer.close()

    def drain(self, grace_s: float) -> None:
        self._do(self._machine.drain(self._shared.clock(), grace_s))

    # ------------------------------------------------------------------ in

    async def _read(self) -> None:
        """Feeds the machine until the session ends. Never waits for anything but the client."""
        shared, machine = self._shared, self._machine
        while machine.phase is not Phase.CLOSED:
            new = machine.phase is Phase.NEW
            try:
                body = await read_frame(
                    self._reader, shared.options.open_bytes_max if new else shared.terms.message_bytes_max
                )
                if body is None:
                    self._do(machine.end_of_stream())
                    return
                message = await shared.offloaded(len(body), partial(parse_client_message, body))
                self._do(machine.message(message, shared.clock()))
            except ComputeError as error:
                self._do(machine.violation(as_request_error(error)))
            except Exception:
                logger.exception("reading from %s failed", self.peer)
                self._do(machine.violation(ComputeError("the provider failed to read the message")))

    # ------------------------------------------------------------------ what the machine decides

    def _do(self, decisions: Decisions) -> None:
        for decision in decisions:
            self._do_one(decision)
        self._arm()

    def _do_one(self, decision: Decision) -> None:
        match decision:
            case OpenEngine(request):
                self._start(self._open(request))
            case RunStep(step):
                self._start(self._run_step(step))
            case SendOpened(request):
                self._send(self._opened_message(request))
            case SendAck(seq):
                self._send(StepAck(seq))
            case SendHeartbeat(draining):
                self._send_heartbeat(draining)
            case SendRefusal(error):
                logger.info("refused %s: %s", self.peer, error)
                self._send(refusal_of(error))
                self._refused = True
            case Abandon():
                if self._work is not None:
                    self._work.cancel()
            case End(reason):
                self._free(reason)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = asyncio.create_task(work, name=f"session-work-{self.peer}")

    def _free(self, reason: str) -> None:
        """Gives back everything that the session holds, at once."""
        if self._session is not None:
            session_id = self._session.request.session_id
            self._session = None
            self._shared.engine.close(session_id)
            self._shared.session_ids.discard(session_id)
        self._ended.set()
        self._shared.on_end(self)
        logger.debug("session of %s ended: %s", self.peer, reason)

    # ------------------------------------------------------------------ work

    async def _open(self, request: SessionOpen) -> None:
        try:
            self._session = self._claimed(request)
            await self._shared.engine.open(
                request.session_id, self.peer, request.span, request.lanes, request.max_tokens
            )
        except ComputeError as error:
            self._do(self._machine.open_failed(error))
        except Exception:
            logger.exception("opening a session of %s failed", self.peer)
            self._do(self._machine.open_failed(ComputeError("the provider failed to open the session")))
        else:
            self._do(self._machine.opened(self._shared.clock()))

    def _claimed(self, request: SessionOpen) -> OpenSession:
        """The session as ours: nobody else's stream may use or close its id. Raises BadRequest for one in use."""
        shared, terms = self._shared, self._shared.terms
        if request.session_id in shared.session_ids:
            raise BadRequest("a session with this id is open already; draw another id")
        shared.session_ids.add(request.session_id)
        identity = SessionIdentity(
            request.session_id, terms.provider_key, terms.network_id, terms.model_root, request.span
        )
        return OpenSession(request, ReceiptIssuer(identity, shared.signer))

    async def _run_step(self, step: StepMessage) -> None:
        machine, clock = self._machine, self._shared.clock
        try:
            if self._session is None:
                raise RuntimeError("a step without a session")
            output = await self._compute(step, self._session)
        except asyncio.CancelledError:
            if not was_cancelled():  # the engine gave the step up, not we
                self._do(machine.step_failed(ComputeError("the engine stopped"), clock()))
            raise
        except ComputeError as error:
            self._do(machine.step_failed(as_request_error(error), clock()))
        except Exception:
            logger.exception("a step of %s failed", self.peer)
            self._do(machine.step_failed(ComputeError("the provider failed to compute the step"), clock()))
        else:
            if machine.step_answered(clock()):
                self._send_bytes(output)
                self._arm()

    async def _compute(self, step: StepMessage, session: OpenSession) -> bytes:
        """The finished answer: decoded, computed, encoded, hashed, signed."""
        shared, request = self._shared, session.request
        hidden, in_hash = await shared.offloaded(len(step.hidden.data), partial(_decoded, step.hidden))
        result = await shared.engine.step(request.session_id, step.header, hidden)
        encoded, out_hash = await shared.offloaded(result.hidden.nbytes, partial(_encoded, result.hidden, request))
        output = StepOutput(
            seq=step.header.seq,
            hidden=encoded,
            receipt=session.receipts.issue(step.header, in_hash, out_hash),
            compute_us=round(result.compute_s * 1e6),
            queue_us=round(result.queue_s * 1e6),
        )
        return await shared.offloaded(len(encoded.data), partial(build_server_message, output))

    # ------------------------------------------------------------------ out

    def _opened_message(self, request: SessionOpen) -> SessionOpened:
        terms = self._shared.terms
        return SessionOpened(
            session_id=request.session_id,
            quant_spec=terms.quant_spec,
            numeric_profile=terms.numeric_profile,
            kernel_class=terms.kernel_class,
            heartbeat_ms=round(self._shared.options.times.heartbeat_s * 1000),
            step_tokens_max=terms.step_tokens_max,
            message_bytes_max=terms.message_bytes_max,
        )

    def _send_heartbeat(self, draining: bool) -> None:
        if self._unsent() and not draining:
            return  # something of ours is on its way already
        stats = self._shared.engine.stats()
        free = max(0, stats.cache_bytes_budget - stats.cache_bytes_used)
        self._send(Heartbeat(queued_tokens=stats.queued_tokens, cache_bytes_free=free, draining=draining))

    def _send(self, message: ServerMessage) -> None:
        self._send_bytes(build_server_message(message))

    def _send_bytes(self, body: bytes) -> None:
        if self._writer.is_closing():
            return
        self._writer.write(frame(body))
        if self._unsent() > self._shared.options.write_buffer_bytes_max:
            self._cut("it does not read")

    def _unsent(self) -> int:
        return self._writer.transport.get_write_buffer_size()

    def _cut(self, why: str) -> None:
        logger.info("cut the stream of %s: %s", self.peer, why)
        self._writer.transport.abort()
        asyncio.get_running_loop().call_soon(lambda: self._do(self._machine.end_of_stream()))

    # ------------------------------------------------------------------ time

    def _arm(self) -> None:
        """Sets the one timer to whatever is due first."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._machine.deadline
        if deadline is None:
            return
        now = self._shared.clock()
        if self._note_progress(now):
            deadline = min(deadline, self._unsent_since + self._shared.options.write_stall_s)
        self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - now), self._on_time)

    def _note_progress(self, now: float) -> bool:
        """Whether something waits for the client, having noted since when it takes nothing."""
        unsent = self._unsent()
        if unsent == 0 or unsent < self._unsent_bytes:
            self._unsent_since = now
        self._unsent_bytes = unsent
        return unsent > 0

    def _on_time(self) -> None:
        self._timer = None
        now = self._shared.clock()
        try:
            if self._note_progress(now) and now - self._unsent_since >= self._shared.options.write_stall_s:
                self._cut("it takes nothing out of the stream")
            else:
                self._do(self._machine.tick(now))
        except Exception:
            logger.exception("the timer of a session of %s failed", self.peer)
            self._do(self._machine.end_of_stream())


async def end_politely(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, linger_s: float) -> None:
    """Returns when the peer has ended the stream after our last message, at the latest after `linger_s`.

    Ending it first would break the peer's pending writes, and with them the delivery of the reason.
    """
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(linger_s):
            await writer.drain()
            while await reader.read(1 << 16):
                pass


def was_cancelled() -> bool:
    """Whether somebody cancelled the running task, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def as_request_error(error: ComputeError) -> ComputeError:
    """Bytes of the client that are wrong are, told to the client, a bad request."""
    return BadRequest(str(error)) if isinstance(error, BadMessage) else error


def _decoded(hidden: EncodedTensor) -> tuple[torch.Tensor, bytes]:
    return decode(hidden), tensor_hash(hidden)


def _encoded(hidden: torch.Tensor, request: SessionOpen) -> tuple[EncodedTensor, bytes]:
    encoded = encode(hidden, request.codec, request.dtype)
    return encoded, tensor_hash(encoded)
