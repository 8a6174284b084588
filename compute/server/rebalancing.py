"""When this provider should serve other blocks than it does. Pure: records in, a span or nothing out.

`compute.swarm.balancing` knows what a good move is and whose turn it is. What is added here is patience: a view of the
swarm may be old or half read, so a move must be wanted twice, in the same words and in the same turn; and after a move,
or one that failed, a provider stays where it is for a while.
"""

from __future__ import annotations

from collections.abc import Sequence

from compute.swarm.balancing import MoveClocks, MoveRules, should_move
from compute.swarm.records import ProviderRecord
from compute.types import Span


class Rebalancer:
    """Looks at the swarm from one provider. `blocks_max`: so many fit into its memory."""

    def __init__(self, rules: MoveRules, blocks_max: int, now_s: float) -> None:
        self._rules = rules
        self._blocks_max = blocks_max
        self._settled_s = now_s
        self._wanted: tuple[Span, int] | None = None

    def settled(self, now_s: float) -> None:
        """A move has ended, well or not."""
        self._settled_s = now_s
        self._wanted = None

    def look(self, me: ProviderRecord, records: Sequence[ProviderRecord], now_s: float) -> Span | None:
        """The span to move to now, or None. `now_s` is the clock that all nodes share."""
        span = should_move(me, records, self._blocks_max, MoveClocks(now_s, self._settled_s), self._rules)
        before, turn = self._wanted, int(now_s // self._rules.window_s)
        self._wanted = None if span is None else (span, turn)
        return span if span is not None and before == (span, turn) else None
