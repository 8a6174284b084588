"""What one client may ask for, and a token bucket for the rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """Bounds of the server; sizes in bytes, times in seconds."""

    connections: int = 100
    request_bytes: int = 15 << 20
    """Room for the longest extrinsic of a block (5 MiB) as hexadecimal, and for a new runtime."""
    response_bytes: int = 15 << 20
    batch: int = 100
    subscriptions: int = 1024
    """Per connection."""
    subscribed_keys: int = 4096
    """Per connection."""
    calls_per_s: float = 1000.0
    """Per connection, in the long run."""
    calls_burst: int = 5000
    queued_messages: int = 1024
    """Notifications that may wait for a slow client before it is dropped."""
    queued_bytes: int = 16 << 20
    send_s: float = 30.0
    """A client that takes nothing for so long is dropped."""
    request_s: float = 30.0
    """From the connection, or the last answer, to the end of the next request's headers; and for its body."""
    ping_s: float = 30.0
    """A WebSocket that is silent for so long is sent a ping; half that time later, without an answer, it is dropped."""


class TokenBucket:
    """Allows `burst` at once and `per_s` in the long run. `clock` gives seconds."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._since = clock()

    def take(self) -> bool:
        """Take one; False when there is none."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._since) * self._per_s)
        self._since = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
