"""How long a hop may be silent, and what its silence means. Told the time, never asks for it.

Whoever hangs, or hears us without being heard, is noticed on the very stream that matters, which says more than any
ping:

- a step is acknowledged before it is computed: within `ack_timeout_s`, the round trip, and the time to send its bytes;
- from then on the provider says something at least every two of its heartbeats, until the answer is there;
- on an idle stream keepalives are answered; a hop that died meanwhile is known to be dead before the next step, or by
  that step's missing acknowledgement.

A heartbeat before the acknowledgement proves nothing (it may have crossed a step that never arrived), so it does not
prolong the wait. A timer that fires late does not blame the peer for our own loop's delay.
"""

from __future__ import annotations

import math
from enum import StrEnum

from compute.client.contracts import HopTimes

_HEARTBEAT_S_MAX = 2.0
"""Whatever a provider announces, longer silence is not accepted."""

_MISSED_KEEPALIVES_MAX = 3


class Silence(StrEnum):
    """What it means that the deadline has passed."""

    NOTHING = "says nothing yet"
    IDLE = "has nothing to say"
    UNHEARD = "does not acknowledge a step"
    HUNG = "is not heard from in the middle of a step"
    GONE = "answers no keepalives"

    @property
    def is_end(self) -> bool:
        """Whether the hop is lost."""
        return self in (Silence.UNHEARD, Silence.HUNG, Silence.GONE)


class HopWatch:
    """The deadline of one hop. Times are seconds of any one clock; `deadline_s` moves with everything that is told."""

    def __init__(self, times: HopTimes, rtt_s: float, now_s: float) -> None:
        self._times = times
        self._rtt_s = rtt_s
        self._heartbeat_s = 0.0
        self._heard_s = now_s
        self._step_until_s: float | None = None  # of the step in progress, whatever is heard meanwhile
        self._acked = False
        self.deadline_s = math.inf

    @property
    def awaits_ack(self) -> bool:
        return self._step_until_s is not None and not self._acked

    def opened(self, now_s: float, heartbeat_s: float) -> None:
        """The session is open; the provider announced a heartbeat every `heartbeat_s`."""
        self._heartbeat_s = min(heartbeat_s, _HEARTBEAT_S_MAX)
        self._wait(now_s, self._times.keepalive_s)

    def heard(self, now_s: float) -> None:
        """Anything came in."""
        self._heard_s = now_s

    def step_sent(self, now_s: float, n_bytes: int) -> None:
        self._step_until_s = now_s + self._times.step_timeout_s
        self._acked = False
        self._wait(now_s, self._times.ack_timeout_s + self._rtt_s + n_bytes / self._times.upload_bytes_s)

    def step_acked(self, now_s: float) -> None:
        self._acked = True
        self.beat(now_s)

    def beat(self, now_s: float) -> None:
        """A heartbeat came in."""
        if self._step_until_s is not None and self._acked:
            self._wait(now_s, 2 * self._heartbeat_s + self._times.slack_s + self._rtt_s)

    def step_over(self, now_s: float) -> None:
        """It was answered, refused or given up."""
        self._step_until_s = None
        self._wait(now_s, self._times.keepalive_s)

    def on_deadline(self, now_s: float) -> Silence:
        """What to make of it that `deadline_s` has passed; when that `is_end` is not, there is a new deadline.

        IDLE asks for a keepalive to be sent.
        """
        if now_s - self.deadline_s > self._times.slack_s / 4:
            # The loop was held up: what the peer said meanwhile may lie unread.
            self._wait(now_s, self._times.slack_s)
            return Silence.NOTHING
        if self._step_until_s is not None:
            return Silence.HUNG if self._acked else Silence.UNHEARD
        if now_s - self._heard_s > _MISSED_KEEPALIVES_MAX * self._times.keepalive_s:
            return Silence.GONE
        self._wait(now_s, self._times.keepalive_s)
        return Silence.IDLE

    def _wait(self, now_s: float, wait_s: float) -> None:
        until_s = now_s + wait_s
        self.deadline_s = until_s if self._step_until_s is None else min(until_s, self._step_until_s)
