"""When the next block is due. Pure: the caller has the clock, the pool's news and the timer."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000}
_INTERVAL_MS_MIN, _INTERVAL_MS_MAX = 20, 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Seal:
    """A way of sealing. `interval_ms` set: a block, empty or not, every so often. Else `instant`: as soon as a
    transaction is ready. Neither: only when somebody asks for one.
    """

    instant: bool = False
    interval_ms: int | None = None

    @classmethod
    def parse(cls, text: str) -> Seal:
        """`instant`, `manual` or `interval:2s` (units ms, s, m). Raises ValueError with what is allowed."""
        if text in ("instant", "manual"):
            return cls(instant=text == "instant")
        match = re.fullmatch(r"interval:([0-9]{1,8})(ms|s|m)", text)
        if match is None:
            raise ValueError(f"{text!r} is no way of sealing: instant, manual, or interval:2s (ms, s, m)")
        interval_ms = int(match[1]) * _UNITS_MS[match[2]]
        if not _INTERVAL_MS_MIN <= interval_ms <= _INTERVAL_MS_MAX:
            raise ValueError(f"an interval is {_INTERVAL_MS_MIN} ms to 24 hours long, not {match[1]}{match[2]}")
        return cls(interval_ms=interval_ms)

    def due_in_ms(self, since_last_ms: int, ready: int) -> int | None:
        """How long until the next block is due, 0 for now, None for "when something changes".

        `since_last_ms` passed since the last block was sealed; `ready` transactions wait.
        """
        if self.interval_ms is not None:
            return max(0, self.interval_ms - since_last_ms)
        return 0 if self.instant and ready else None
