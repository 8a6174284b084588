"""What a peer may send at most, and how often. Pure: the caller brings the time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Bounds that hold before anything is known about the sender.

    Args:
        message_bytes_max: of one frame. Too small and a prefill chunk of a wide model does not fit; it is also what one
            stream can make us hold.
        step_tokens_max: of all rows of a step. A client splits longer prompts.
        lanes_max: of a session.
        context_max: position that no token may reach.
    """

    message_bytes_max: int = 16 << 20
    step_tokens_max: int = 2048
    lanes_max: int = 64
    context_max: int = 1 << 20


DEFAULT_LIMITS = WireLimits()

TEXT_CHARS_MAX = 512
"""Of any text in a message: names, profiles, reasons."""


_ONE = 1 - 1e-6  # whoever waits `wait_s` gets one, whatever rounding does


class TokenBucket:
    """Allows `burst` at once and `per_s` in the long run."""

    def __init__(self, per_s: float, burst: float, now_s: float) -> None:
        if per_s <= 0 or burst < 1:
            raise ValueError("a bucket needs a positive rate and room for one")
        self._per_s = per_s
        self._burst = burst
        self._level = burst
        self._filled_s = now_s

    def take(self, now_s: float) -> bool:
        """Whether there was one; it is taken then."""
        self._fill(now_s)
        if self._level < _ONE:
            return False
        self._level -= 1
        return True

    def wait_s(self, now_s: float) -> float:
        """Seconds until there is one; 0 when there is one now."""
        self._fill(now_s)
        return max(0.0, (1 - self._level) / self._per_s)

    def _fill(self, now_s: float) -> None:
        passed_s = max(0.0, now_s - self._filled_s)
        self._filled_s = max(self._filled_s, now_s)
        self._level = min(self._burst, self._level + passed_s * self._per_s)
