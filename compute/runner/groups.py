"""How many decode tokens one batch should take, so that all hops of a pipeline work at the same time. Pure.

The problem: a session is at one hop at a time. If this hop takes every ready decode step at once, all sessions leave
it together, and it idles while the next hop is busy with all of them: on `P` equal hops everybody works `1/P` of the
time.

The rule: keep `P` groups in flight. A batch takes at most `1/P` of the decode tokens that are around (those seen
lately, here or at another hop), where `P` is how often the session's blocks here fit into the model. Below `rows_min`
a batch is not cut: so few rows cost about as much as half of them.

Measured with two providers on two cores (SmolLM2, bf16, 2026-11-25): 1.15x the tokens per second at 8 sessions, 1.2x
at 16; in fp32, where the two share memory bandwidth, 1.0x. Where a batch costs the same whatever its size, nothing is
lost.
"""

from __future__ import annotations

from collections.abc import Hashable

from compute.types import Span


class DecodeGroups:
    """Which sessions decode at present, and the size of a group of them."""

    def __init__(self, n_blocks: int, *, rows_min: int = 4, window_s: float = 2.0) -> None:
        self._n_blocks = n_blocks
        self._rows_min = rows_min
        self._window_s = window_s
        self._seen: dict[Hashable, tuple[float, int]] = {}

    def saw(self, session: Hashable, rows: int, now_s: float) -> None:
        """A decode step of `rows` tokens came in."""
        self._seen.pop(session, None)
        self._seen[session] = (now_s, rows)

    def forget(self, session: Hashable) -> None:
        """The session has ended, or prefills."""
        self._seen.pop(session, None)

    def tokens_max(self, span: Span, now_s: float) -> int | None:
        """Decode tokens that a batch over `span` should take at most; None for no limit."""
        hops = round(self._n_blocks / len(span))
        if hops < 2:
            return None
        for session, (seen_s, _) in list(self._seen.items()):  # oldest first
            if now_s - seen_s <= self._window_s:
                break
            del self._seen[session]
        around = sum(rows for _, rows in self._seen.values())
        return max(self._rows_min, -(-around // hops))
