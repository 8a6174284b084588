"""Who gets cache room next. Pure: no clock; the engine waits and says when room was made.

A step that takes no bytes passes: nobody waits longer for it. All others stand in one line, and the first of the line
either gets its room or holds up everyone behind it, so that a large step is not overtaken for ever by small ones.

Clients, not sessions, share the room while it is scarce: with `n` clients that hold or wait for some, a step with which
its client would hold more than one `n`-th of the budget stands behind those of clients that would not. Otherwise, and
always among the steps of one client, first come, first served. A client alone may fill the budget; it cannot grow on
while others wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Asker:
    """A step that wants room for about `n_bytes`.

    `attempt` takes all of its room, or none and returns False. `turn` ends with the room taken, or when the step went
    away, by whoever ends it; then it is passed over.
    """

    client: str
    n_bytes: int
    attempt: Callable[[], bool]
    turn: asyncio.Future[None]


class RoomQueue:
    """The line. `held` says how many bytes each client holds."""

    def __init__(self, bytes_max: int, held: Callable[[], Mapping[str, int]]) -> None:
        self._bytes_max = bytes_max
        self._held = held
        self._line: list[Asker] = []

    def ask(self, asker: Asker) -> None:
        """Puts a step in the line, and serves it at once where possible."""
        self._line.append(asker)
        self.serve()

    def leave(self, asker: Asker) -> None:
        """The step is served or wants no more."""
        if asker in self._line:
            self._line.remove(asker)
            self.serve()

    def serve(self) -> None:
        """Room was made, or the line changed: serves from the front until one step does not fit."""
        while (first := self._first()) is not None and first.attempt():
            self._line.remove(first)
            first.turn.set_result(None)

    def may_ask(self, client: str) -> bool:
        """Whether a client would have a claim to room that is all taken: somebody else holds more than a fair share."""
        held = self._held()
        share = self._share({client, *held})
        return held.get(client, 0) < share and any(n_bytes > share for n_bytes in held.values())

    def _share(self, clients: set[str]) -> int:
        return self._bytes_max // max(1, len(clients))

    def _first(self) -> Asker | None:
        first_of: dict[str, Asker] = {}
        for asker in self._line:
            if not asker.turn.done():
                first_of.setdefault(asker.client, asker)
        if len(first_of) < 2:
            return next(iter(first_of.values()), None)
        held = self._held()
        share = self._share({*held, *first_of})
        return min(first_of.values(), key=lambda asker: held.get(asker.client, 0) + asker.n_bytes > share)
