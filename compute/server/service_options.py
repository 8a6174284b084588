"""Limits and times of a provider's sessions, checked once where they are made. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from compute.server.admission import AdmissionLimits
from compute.wire.limits import Pace, WireLimits

HELD_BYTES_MAX = 512 << 20
"""32 of the largest messages."""


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """How long a session waits for what, seconds.

    Args:
        heartbeat_s: longest silence of ours while a step is in progress. A client takes a link for dead after two
            of them; shorter costs messages, longer costs fail-over time.
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
class ServiceOptions:
    """Limits and times of all sessions of a provider.

    Args:
        wire: of single messages.
        open_bytes_max: of a stream's first message, which carries no tensor.
        held_bytes_max: of messages of all clients together, from a message's first byte to the last byte of its answer.
            Beyond it steps are refused with OVERLOADED.
        held_share_max: the part of it that one peer may have.
        free_bytes: the first bytes of a message, which are not counted: single tokens of any model pass always.
        pace: how slowly a message may come in, and an answer be taken out, before its session ends.
        write_stall_s: a client that takes nothing at all out of the stream for so long is cut.
        write_buffer_bytes_max: the most that may wait for a client; one answer always fits.
        linger_s: how long a refused client may take to read why and to end the stream, its session being free already.
        offload_bytes: tensors above this are encoded, decoded and hashed off the event loop: about 1 ms of work.
    """

    times: SessionTimes = field(default_factory=SessionTimes)
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)
    wire: WireLimits = field(default_factory=WireLimits)
    open_bytes_max: int = 4096
    held_bytes_max: int = HELD_BYTES_MAX
    held_share_max: float = 0.25
    free_bytes: int = 64 << 10
    pace: Pace = field(default_factory=Pace)
    write_stall_s: float = 10.0
    write_buffer_bytes_max: int = 32 << 20
    linger_s: float = 1.0
    offload_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        if not 0 < self.held_share_max <= 1 or self.held_bytes_of_peer < self.wire.message_bytes_max:
            raise ValueError("held_bytes_max, times held_share_max, must hold one message of message_bytes_max")
        if self.admission.tokens_per_peer_max < self.wire.step_tokens_max:
            raise ValueError("tokens_per_peer_max must hold one step of step_tokens_max")
        if self.write_buffer_bytes_max < self.wire.message_bytes_max:
            raise ValueError("write_buffer_bytes_max must hold one message of message_bytes_max")
        if not (self.write_stall_s > 0 and self.linger_s > 0):
            raise ValueError("write_stall_s and linger_s must be above 0 seconds")

    @property
    def held_bytes_min(self) -> int:
        """The least of `held_bytes_max` with which every peer can send the largest message."""
        return math.ceil(self.wire.message_bytes_max / self.held_share_max)

    @property
    def held_bytes_of_peer(self) -> int:
        """The most that is held of one peer."""
        return int(self.held_bytes_max * self.held_share_max)
