"""What a peer may send at most, and how often. Pure: the caller brings the time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How slowly a message may cross a stream: no silence above `grace_s`, and `bytes_s_min` in the long run.

    Half a megabit per second is less than any line that a prompt would be sent over, and more than it pays to hold a
    megabyte of somebody's memory with.
    """

    grace_s: float = 30.0
    bytes_s_min: int = 64 << 10

    def __post_init__(self) -> None:
        if not (self.grace_s > 0 and self.bytes_s_min > 0):
            raise ValueError("a pace has a positive grace_s and bytes_s_min")

    def deadline_s(self, started_s: float, last_s: float, n_bytes: int) -> float:
        """When more must be there than the `n_bytes` that came since `started_s`, the last of them at `last_s`."""
        return min(last_s, started_s + n_bytes / self.bytes_s_min) + self.grace_s


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


class Buckets:
    """A TokenBucket for each key that came lately: `remembered_max` of them, the longest unused is forgotten first."""

    def __init__(self, per_s: float, burst: float, remembered_max: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._remembered_max = remembered_max
        self._buckets: dict[str, TokenBucket] = {}

    def of(self, key: str, now_s: float) -> TokenBucket:
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            bucket = TokenBucket(self._per_s, self._burst, now_s)
            if len(self._buckets) >= self._remembered_max:
                del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = bucket  # at the young end
        return bucket


class Budget:
    """Whole units (bytes, tokens) held at once: `total_max` by all holders together, `each_max` by one of them."""

    def __init__(self, total_max: int, each_max: int) -> None:
        if not 0 < each_max <= total_max:
            raise ValueError("a budget gives each holder something, and none more than there is")
        self._total_max = total_max
        self._each_max = each_max
        self._held: dict[str, int] = {}
        self._total = 0

    @property
    def total(self) -> int:
        """Held by all."""
        return self._total

    def take(self, holder: str, n: int) -> bool:
        """Whether there was room for `n` more; they are held then, until `give_back`."""
        mine = self._held.get(holder, 0) + n
        if mine > self._each_max or self._total + n > self._total_max:
            return False
        if n:
            self._held[holder] = mine
            self._total += n
        return True

    def give_back(self, holder: str, n: int) -> None:
        """Raises ValueError for more than the holder has."""
        left = self._held.get(holder, 0) - n
        if left < 0:
            raise ValueError("more is given back than was taken")
        self._total -= n
        if left:
            self._held[holder] = left
        else:
            self._held.pop(holder, None)
