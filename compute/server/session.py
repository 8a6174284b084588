"""The provider's half of a session, as a machine without I/O: events go in, decisions come out.

    NEW ──open──► OPENING ──opened──► IDLE ◄──answered / refused for now── STEPPING
                                        └──────────────step──────────────────►
    any phase ──close, end of stream, violation, time-out, draining over──► CLOSED

Every call takes `now` (seconds of any steady clock) and returns what to do, in order. The caller does it and reports
back what came of it (`opened`, `open_failed`, `step_answered`, `step_failed`). Between two calls the machine waits for
a message or for `deadline`, whichever comes first; at the deadline the caller calls `tick`.

Rules that hold always, whatever a client sends:

- A step is acknowledged before it is computed, and computed only when it is the one expected: `seq` rises by one for
  each step answered. The same `seq` comes twice only when the first was refused with CACHE_FULL or OVERLOADED: two
  receipts for one `seq` would be an equivocation of ours.
- While a step is in progress, at most `heartbeat_s` pass between two messages; while idle, `idle_heartbeat_s`.
- `End` is the last decision of a session's life, is given once, and after it every call returns nothing. `Abandon`
  comes before it when something was in progress.
- Draining tells the client in a heartbeat and lets it go on until the grace is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from compute.errors import BadRequest, CacheFull, ComputeError, Draining, Overloaded
from compute.server.terms import ServedTerms, check_open
from compute.types import Row, StepHeader
from compute.wire.limits import TokenBucket
from compute.wire.messages import ClientMessage, Keepalive, SessionClose, SessionOpen, StepMessage


class Phase(StrEnum):
    NEW = "new"
    OPENING = "opening"
    IDLE = "idle"
    STEPPING = "stepping"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """How long a session waits for what, seconds.

    Args:
        heartbeat_s: longest silence of ours while a step is in progress. A client takes a link for dead after about
            three of them; shorter costs messages, longer costs fail-over time.
        idle_heartbeat_s: longest silence of ours otherwise.
        idle_timeout_s: a client that is silent for longer is gone, and its cache is freed. Time in a step of its own
            does not count.
        unused_timeout_s: a session without a step for longer is ended, whatever else comes: its cache is for others. A
            client that comes back later rebuilds it from its history.
        open_timeout_s: from the stream's start to a complete SessionOpen.
        keepalives_s: sustained rate of messages that are no steps; `keepalives_burst` may come at once.
    """

    heartbeat_s: float = 0.4
    idle_heartbeat_s: float = 5.0
    idle_timeout_s: float = 30.0
    unused_timeout_s: float = 600.0
    open_timeout_s: float = 10.0
    keepalives_s: float = 2.0
    keepalives_burst: int = 20

    def __post_init__(self) -> None:
        for name in (
            "heartbeat_s",
            "idle_heartbeat_s",
            "idle_timeout_s",
            "unused_timeout_s",
            "open_timeout_s",
            "keepalives_s",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0 seconds")
        if self.keepalives_burst < 1:
            raise ValueError("keepalives_burst must be at least 1")
        if self.idle_timeout_s <= self.idle_heartbeat_s:
            raise ValueError("idle_timeout_s must be longer than idle_heartbeat_s: clients answer at that pace")


@dataclass(frozen=True, slots=True)
class OpenEngine:
    """Open the session in the engine, then call `opened` or `open_failed`."""

    request: SessionOpen


@dataclass(frozen=True, slots=True)
class SendOpened:
    request: SessionOpen


@dataclass(frozen=True, slots=True)
class SendAck:
    seq: int


@dataclass(frozen=True, slots=True)
class RunStep:
    """Compute it, then call `step_answered` or `step_failed`."""

    step: StepMessage


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    draining: bool


@dataclass(frozen=True, slots=True)
class SendRefusal:
    error: ComputeError


@dataclass(frozen=True, slots=True)
class Abandon:
    """Cancel what `OpenEngine` or `RunStep` started; its outcome is not wanted."""


@dataclass(frozen=True, slots=True)
class End:
    """Free everything of the session now, then end the stream. `reason` is for logs."""

    reason: str


Decision = OpenEngine | SendOpened | SendAck | RunStep | SendHeartbeat | SendRefusal | Abandon | End
Decisions = tuple[Decision, ...]

_REFUSES_STEP_ONLY = (CacheFull, Overloaded)


class SessionMachine:
    """One session. Not thread-safe; every method returns at once."""

    def __init__(self, terms: ServedTerms, times: SessionTimes, now: float) -> None:
        self._terms = terms
        self._times = times
        self._phase = Phase.NEW
        self._request: SessionOpen | None = None
        self._next_seq = 0
        self._heard_at = now
        self._used_at = now
        self._sent_at = now
        self._drain_until: float | None = None
        self._chatter = TokenBucket(times.keepalives_s, times.keepalives_burst, now)

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def draining(self) -> bool:
        return self._drain_until is not None

    @property
    def next_seq(self) -> int:
        return self._next_seq

    @property
    def deadline(self) -> float | None:
        """When `tick` must be called unless something else happens first; None when nothing is due."""
        if self._phase is Phase.CLOSED:
            return None
        times = (self._silence_ends_at(), self._speak_at(), self._drain_until)
        return min((t for t in times if t is not None), default=None)

    # ------------------------------------------------------------------ what the client does

    def message(self, message: ClientMessage, now: float) -> Decisions:
        """What to do about a message that was parsed and checked on its own (`compute.wire.messages`)."""
        if self._phase is Phase.CLOSED:
            return ()
        self._heard_at = now
        try:
            match message:
                case SessionOpen():
                    return self._on_open(message)
                case StepMessage():
                    return self._on_step(message, now)
                case Keepalive():
                    return self._on_keepalive(now)
                case SessionClose():
                    return self._end("closed by the client")
        except ComputeError as error:
            return self.violation(error)

    def violation(self, error: ComputeError) -> Decisions:
        """The client broke the protocol (garbage, oversize, a wrong move): it is told so, and its session ends."""
        return self._end(type(error).__name__, SendRefusal(error))

    def end_of_stream(self) -> Decisions:
        """The client closed the stream, died, or reads too slowly: nobody is left to be told anything."""
        return self._end("end of stream")

    # ------------------------------------------------------------------ what came of decisions

    def opened(self, now: float) -> Decisions:
        if self._phase is not Phase.OPENING or self._request is None:
            return ()
        self._phase = Phase.IDLE
        self._heard_at = self._used_at = self._sent_at = now
        told: Decisions = (SendOpened(self._request),)
        return (*told, SendHeartbeat(True)) if self.draining else told

    def open_failed(self, error: ComputeError) -> Decisions:
        return self._end("refused", SendRefusal(error)) if self._phase is Phase.OPENING else ()

    def step_answered(self, now: float) -> bool:
        """Whether the session still lives: then the caller sends the output, with its signed receipt, now."""
        if self._phase is not Phase.STEPPING:
            return False
        self._phase = Phase.IDLE
        self._next_seq += 1
        self._heard_at = self._used_at = self._sent_at = now
        return True

    def step_failed(self, error: ComputeError, now: float) -> Decisions:
        if self._phase is not Phase.STEPPING:
            return ()
        if not isinstance(error, _REFUSES_STEP_ONLY):
            self._phase = Phase.IDLE  # nothing is in progress that could be abandoned
            return self._end(type(error).__name__, SendRefusal(error))
        self._phase = Phase.IDLE
        self._heard_at = self._used_at = self._sent_at = now
        return (SendRefusal(error),)

    # ------------------------------------------------------------------ time and leaving

    def drain(self, now: float, grace_s: float) -> Decisions:
        """The node leaves: the client is told, and may go on for `grace_s`. A second call can only shorten it."""
        if self._phase is Phase.CLOSED:
            return ()
        until = now + grace_s
        self._drain_until = until if self._drain_until is None else min(until, self._drain_until)
        if self._drain_until <= now:
            return self.tick(now)
        if self._phase in (Phase.NEW, Phase.OPENING):
            return ()
        self._sent_at = now
        return (SendHeartbeat(True),)

    def tick(self, now: float) -> Decisions:
        """What is due at `now`. Early or late calls do no harm."""
        if self._phase is Phase.CLOSED:
            return ()
        if self._drain_until is not None and now >= self._drain_until:
            return self._end("draining", SendRefusal(Draining("this provider is leaving: plan the route again")))
        silence_ends_at = self._silence_ends_at()
        if silence_ends_at is not None and now >= silence_ends_at:
            return self._end("client silent", SendRefusal(BadRequest(self._silence_text())))
        speak_at = self._speak_at()
        if speak_at is None or now < speak_at:
            return ()
        self._sent_at = now
        return (SendHeartbeat(self.draining),)

    # ------------------------------------------------------------------ inside

    def _on_open(self, message: SessionOpen) -> Decisions:
        if self._phase is not Phase.NEW:
            raise BadRequest("the session is open already; open another stream for another session")
        check_open(message, self._terms)
        self._phase = Phase.OPENING
        self._request = message
        return (OpenEngine(message),)

    def _on_step(self, message: StepMessage, now: float) -> Decisions:
        if self._phase is Phase.STEPPING:
            raise BadRequest("a step is in progress; wait for its answer before sending the next")
        if self._phase is not Phase.IDLE or self._request is None:
            raise BadRequest("a step came before the session was open; send SessionOpen and wait for SessionOpened")
        if message.header.seq != self._next_seq:
            raise BadRequest(f"step {message.header.seq} came where step {self._next_seq} is expected")
        check_step(message, self._request, self._terms)
        self._phase = Phase.STEPPING
        self._sent_at = now
        return (SendAck(message.header.seq), RunStep(message))

    def _on_keepalive(self, now: float) -> Decisions:
        if self._phase is Phase.NEW:
            raise BadRequest("the first message of a stream must be SessionOpen")
        if not self._chatter.take(now):
            raise BadRequest(f"more than {self._times.keepalives_s:g} keepalives per second")
        if self._phase is not Phase.IDLE:
            return ()
        self._sent_at = now
        return (SendHeartbeat(self.draining),)

    def _end(self, reason: str, *told: Decision) -> Decisions:
        if self._phase is Phase.CLOSED:
            return ()
        abandoned: Decisions = (Abandon(),) if self._phase in (Phase.OPENING, Phase.STEPPING) else ()
        self._phase = Phase.CLOSED
        return (*abandoned, *told, End(reason))

    def _silence_ends_at(self) -> float | None:
        """When the client's silence ends the session; None while it waits for us."""
        if self._phase is Phase.NEW:
            return self._heard_at + self._times.open_timeout_s
        if self._phase is not Phase.IDLE:
            return None
        return min(self._heard_at + self._times.idle_timeout_s, self._used_at + self._times.unused_timeout_s)

    def _silence_text(self) -> str:
        if self._phase is Phase.NEW:
            return f"no SessionOpen came within {self._times.open_timeout_s:g} s"
        if self._used_at + self._times.unused_timeout_s < self._heard_at + self._times.idle_timeout_s:
            return f"no step came for {self._times.unused_timeout_s:g} s; open a new session"
        return f"nothing came for {self._times.idle_timeout_s:g} s; send a keepalive every few seconds"

    def _speak_at(self) -> float | None:
        """When our own silence must end; None before the session is open."""
        match self._phase:
            case Phase.STEPPING:
                return self._sent_at + self._times.heartbeat_s
            case Phase.IDLE:
                return self._sent_at + self._times.idle_heartbeat_s
            case _:
                return None


def check_step(step: StepMessage, request: SessionOpen, terms: ServedTerms) -> None:
    """Nothing when a step keeps to what its session was opened with. Raises BadRequest.

    Positions above a lane's length are the engine's to refuse: it alone knows the lengths.
    """
    header, hidden = step.header, step.hidden
    _check_rows(header.rows, request)
    _check_fork(header, request)
    if header.n_tokens > terms.step_tokens_max:
        raise BadRequest(
            f"{header.n_tokens} tokens in a step; this provider takes {terms.step_tokens_max}: send chunks"
        )
    if (hidden.tokens, hidden.width) != (header.n_tokens, terms.width):
        raise BadRequest(
            f"the tensor is [{hidden.tokens}, {hidden.width}], "
            f"where rows and model ask for [{header.n_tokens}, {terms.width}]"
        )
    if (hidden.codec, hidden.dtype) != (request.codec, request.dtype):
        raise BadRequest(
            f"the tensor is {hidden.codec.name} {hidden.dtype.name}; "
            f"the session was opened with {request.codec.name} {request.dtype.name}"
        )


def _check_rows(rows: Sequence[Row], request: SessionOpen) -> None:
    above = -1
    for row in rows:
        if not above < row.lane < request.lanes:
            raise BadRequest(f"lane {row.lane} is out of order, repeated, or not below {request.lanes}")
        if row.position < 0 or row.n_tokens < 0 or row.position + row.n_tokens > request.max_tokens:
            raise BadRequest(
                f"lane {row.lane} would reach position {row.position + row.n_tokens}; "
                f"the session was opened for {request.max_tokens} tokens"
            )
        above = row.lane


def _check_fork(header: StepHeader, request: SessionOpen) -> None:
    if not header.rows and not header.fork:
        raise BadRequest("a step without rows and without a fork does nothing")
    if len(header.fork) > request.lanes:
        raise BadRequest(f"a fork to {len(header.fork)} lanes; the session was opened with {request.lanes}")
    for source in header.fork:
        if not 0 <= source < request.lanes:
            raise BadRequest(f"a fork from lane {source}, which is not below {request.lanes}")
