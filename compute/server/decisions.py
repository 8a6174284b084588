"""What a session machine (`session.py`) decides. Its caller does it, in order, and reports back where it says so."""

from __future__ import annotations

from dataclasses import dataclass

from compute.errors import ComputeError
from compute.wire.messages import SessionOpen, StepMessage


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
