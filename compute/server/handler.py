"""Session streams: what the session machine decides, done over libp2p.

One `SessionStream` per incoming stream. Its reader never stops reading, so that a close, a cut or a dead client is seen
while a step is being computed; the machine (`session.py`) says what each message means. Writing never waits: a message
goes into the transport's buffer at once, and a client that does not take it out in time is cut (`outbox.py`). So a slow
or hostile client holds no task of ours, and nobody else's session waits for it.

What a session holds in the engine and among the peer's sessions is given back in `_free`, in the same turn of the loop
in which the machine says `End`. The bytes of a step are held of the provider's budget from its first byte until the
client has taken the answer, or until there will be none.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from compute.errors import BadMessage, BadRequest, ComputeError, Overloaded
from compute.server.decisions import (
    Abandon,
    Decision,
    Decisions,
    End,
    OpenEngine,
    RunStep,
    SendAck,
    SendHeartbeat,
    SendOpened,
    SendRefusal,
)
from compute.server.outbox import Outbox, end_politely
from compute.server.session import Phase, SessionMachine
from compute.server.shared import SharedState
from compute.server.step_work import OpenSession, answer_step
from compute.types import NONCE_BYTES, PeerId
from compute.wire.frames import FrameReader, Reservation
from compute.wire.limits import Pace
from compute.wire.messages import (
    Heartbeat,
    ServerMessage,
    SessionOpen,
    SessionOpened,
    StepAck,
    StepMessage,
    build_server_message,
    parse_client_message,
    refusal_of,
)
from compute.wire.receipts import ReceiptIssuer, SessionIdentity, receipt_session_id

logger = logging.getLogger(__name__)


class SessionStream:
    """One stream with the machine that rules it. `on_end` is called once, when the session is free."""

    def __init__(
        self,
        shared: SharedState,
        peer: PeerId,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_end: Callable[[SessionStream], None],
    ) -> None:
        self.peer = peer
        self._shared = shared
        self._reader = reader
        self._writer = writer
        self._on_end = on_end
        self._frames = FrameReader(reader, partial(shared.reservation, peer), shared.options.pace, shared.clock)
        self._outbox = Outbox(writer, shared.options)
        self._machine = SessionMachine(shared.terms, shared.options.times, now=shared.clock())
        self._session: OpenSession | None = None  # while the engine holds it for us
        self._work: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._refused = False

    async def run(self) -> None:
        """Serves the session to its end; then its client may read the last message for a moment."""
        reading = asyncio.create_task(self._read(), name=f"session-reader-{self.peer}")
        self._arm()
        try:
            await self._ended.wait()
            if self._refused:
                reading.cancel()  # what else comes is thrown away below
                await asyncio.wait({reading})
                await end_politely(self._reader, self._writer, self._shared.options.linger_s)
        finally:
            self._do(self._machine.end_of_stream())
            self._outbox.close()
            reading.cancel()
            await asyncio.wait({reading, *([self._work] if self._work else [])})

    def drain(self, grace_s: float) -> None:
        self._do(self._machine.drain(self._shared.clock(), grace_s))

    def stay(self) -> None:
        self._machine.stay()
        self._arm()

    # ------------------------------------------------------------------ in

    async def _read(self) -> None:
        """Feeds the machine until the session ends. Never waits for anything but the client."""
        machine = self._machine
        while machine.phase is not Phase.CLOSED:
            try:
                await self._read_one()
            except Overloaded as error:
                self._do(machine.thrown_away(error, self._shared.clock()))
            except ComputeError as error:
                self._do(machine.violation(as_request_error(error)))
            except Exception:
                logger.exception("reading from %s failed", self.peer)
                self._do(machine.violation(ComputeError("the provider failed to read the message")))

    async def _read_one(self) -> None:
        """One message. On its own, so that nothing of it is kept while the next one is waited for."""
        shared, machine = self._shared, self._machine
        frame = await self._frames.read(self._bytes_max)
        if frame is None:
            self._do(machine.end_of_stream())
            return
        try:
            message = await shared.offloaded(len(frame.body), partial(parse_client_message, frame.body))
            self._do(machine.message(message, shared.clock()), frame.held)
        finally:
            frame.held.release()

    def _bytes_max(self) -> int:
        """Of the next message: only an open session without a step in progress is sent anything large."""
        if self._machine.phase is Phase.IDLE:
            return self._shared.terms.message_bytes_max
        return self._shared.options.open_bytes_max

    # ------------------------------------------------------------------ what the machine decides

    def _do(self, decisions: Decisions, held: Reservation | None = None) -> None:
        """`held` is what the message that led to the decisions holds; a step takes it over."""
        for decision in decisions:
            self._do_one(decision, held)
        self._arm()

    def _do_one(self, decision: Decision, held: Reservation | None) -> None:
        match decision:
            case OpenEngine(request):
                self._start(self._open(request))
            case RunStep(step):
                step_held = held.hand_over() if held is not None else self._shared.reservation(self.peer)
                work = self._start(self._run_step(step, step_held))
                work.add_done_callback(lambda _: step_held.release())  # also where the work never began
            case SendOpened() if self._session is not None:
                self._send(self._opened_message(self._session))
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

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._work = asyncio.create_task(work, name=f"session-work-{self.peer}")
        return self._work

    def _free(self, reason: str) -> None:
        """Gives back everything that the session holds, at once."""
        if self._session is not None:
            session_id = self._session.request.session_id
            self._session = None
            self._shared.engine.close(session_id)
            self._shared.session_ids.discard(session_id)
        self._ended.set()
        self._on_end(self)
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
        nonce = secrets.token_bytes(NONCE_BYTES)
        session_id = receipt_session_id(request.session_id, nonce)
        identity = SessionIdentity(session_id, terms.provider_key, terms.network_id, terms.model_root, request.span)
        return OpenSession(request, nonce, ReceiptIssuer(identity, shared.signer))

    async def _run_step(self, step: StepMessage, held: Reservation) -> None:
        machine, clock = self._machine, self._shared.clock
        try:
            if self._session is None:
                raise RuntimeError("a step without a session")
            with self._shared.quota.step(self.peer, step.header.n_tokens, clock()):
                output = await answer_step(self._shared, self._session, step)
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
                self._send_bytes(output, held.hand_over())
                self._arm()

    # ------------------------------------------------------------------ out

    def _opened_message(self, session: OpenSession) -> SessionOpened:
        terms = self._shared.terms
        return SessionOpened(
            session_id=session.request.session_id,
            nonce=session.nonce,
            quant_spec=terms.quant_spec,
            numeric_profile=terms.numeric_profile,
            kernel_class=terms.kernel_class,
            heartbeat_ms=round(self._shared.options.times.heartbeat_s * 1000),
            step_tokens_max=terms.step_tokens_max,
            message_bytes_max=terms.message_bytes_max,
        )

    def _send_heartbeat(self, draining: bool) -> None:
        if self._outbox.unsent and not draining:
            return  # something of ours is on its way already
        stats = self._shared.engine.stats()
        free = max(0, stats.cache_bytes_budget - stats.cache_bytes_used)
        self._send(Heartbeat(queued_tokens=stats.queued_tokens, cache_bytes_free=free, draining=draining))

    def _send(self, message: ServerMessage) -> None:
        self._send_bytes(build_server_message(message))

    def _send_bytes(self, body: bytes, held: Reservation | None = None) -> None:
        self._outbox.send(body, self._shared.clock(), held)
        if self._outbox.is_overfull:
            self._cut("it does not read")

    def _cut(self, why: str) -> None:
        logger.info("cut the stream of %s: %s", self.peer, why)
        self._outbox.cut()
        asyncio.get_running_loop().call_soon(lambda: self._do(self._machine.end_of_stream()))

    # ------------------------------------------------------------------ time

    def _arm(self) -> None:
        """Sets the one timer to whatever is due first."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._machine.phase is Phase.CLOSED:
            return
        now = self._shared.clock()
        self._outbox.note(now)
        times = (self._machine.deadline, self._outbox.deadline, self._frames.deadline_s)
        deadline = min((time for time in times if time is not None), default=None)
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - now), self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        now = self._shared.clock()
        try:
            self._outbox.note(now)
            if is_over(self._outbox.deadline, now):
                self._cut("it takes too little out of the stream")
            elif is_over(self._frames.deadline_s, now):
                self._do(self._machine.violation(too_slow(self._shared.options.pace)))
            else:
                if self._frames.heard_s is not None:
                    self._machine.heard(self._frames.heard_s)
                self._do(self._machine.tick(now))
        except Exception:
            logger.exception("the timer of a session of %s failed", self.peer)
            self._do(self._machine.end_of_stream())


def is_over(deadline: float | None, now: float) -> bool:
    return deadline is not None and now >= deadline


def too_slow(pace: Pace) -> BadRequest:
    return BadRequest(
        f"a message came in too slowly: {pace.bytes_s_min} bytes per second are the least, and no pause above "
        f"{pace.grace_s:g} s"
    )


def was_cancelled() -> bool:
    """Whether somebody cancelled the running task, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def as_request_error(error: ComputeError) -> ComputeError:
    """Bytes of the client that are wrong are, told to the client, a bad request."""
    return BadRequest(str(error)) if isinstance(error, BadMessage) else error
