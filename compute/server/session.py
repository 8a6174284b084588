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

from enum import StrEnum

from compute.errors import BadRequest, CacheFull, ComputeError, Draining, Overloaded
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
from compute.server.service_options import SessionTimes
from compute.server.terms import ServedTerms, check_open, check_step
from compute.wire.limits import TokenBucket
from compute.wire.messages import ClientMessage, Keepalive, SessionClose, SessionOpen, StepMessage


class Phase(StrEnum):
    NEW = "new"
    OPENING = "opening"
    IDLE = "idle"
    STEPPING = "stepping"
    CLOSED = "closed"


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

    def heard(self, now: float) -> None:
        """Bytes of a message came, which is not complete yet: the client of an open session is not silent."""
        if self._phase is Phase.IDLE:
            self._heard_at = max(self._heard_at, now)

    def thrown_away(self, error: ComputeError, now: float) -> Decisions:
        """A message found no room and was not read. Nothing but a step is so large: it may be sent again."""
        if self._phase is not Phase.IDLE:
            return self.violation(error)
        self._heard_at = self._sent_at = now
        return (SendRefusal(error),)

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
        if self._phase is not Phase.OPENING:
            return ()
        self._phase = Phase.NEW  # nothing is in progress that could be abandoned
        return self._end("refused", SendRefusal(error))

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
        """The node leaves: the client is told, and may go on for `grace_s`. A second call can only shorten it.

        With an endless grace the client is asked to go and never made to.
        """
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

    def stay(self) -> None:
        """The node stays after all: `drain` is taken back."""
        self._drain_until = None

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
