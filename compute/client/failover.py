"""What to do about hops that fail: whom to avoid, which blocks to plan anew, what to replay. Without I/O.

A session's hops tile all blocks of the model. When one is lost, the gap that it leaves (with neighbours that are lost
too) is planned anew on its own, the hops that live stay as they are. New hops start empty: they are replayed what
the lanes hold, and then take the step that was interrupted, like every other hop. A step is committed to the history
only when it came through all hops, so a replay can neither miss a token nor repeat one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from compute.errors import BadRequest, ComputeError
from compute.types import PeerId, Row, Span


@dataclass(frozen=True, slots=True)
class CoolDown:
    """How long a peer that failed is avoided, seconds.

    Args:
        first_s: after the first failure; each further one doubles it. Longer than a fail-over takes, or it might end
            up at the peer that it flees.
        most_s: the longest.
        forgiven_s: after so long without a failure, the next one counts as the first.
    """

    first_s: float = 5.0
    most_s: float = 300.0
    forgiven_s: float = 600.0

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.most_s:
            raise ValueError("first_s must be above 0 and at most most_s")


@dataclass(slots=True)
class _Suspicion:
    failures: int
    until_s: float
    failed_s: float


class Suspects:
    """Peers that failed, and until when each is avoided. Shared by all sessions of a client."""

    def __init__(self, cool_down: CoolDown | None = None) -> None:
        self._cool_down = cool_down or CoolDown()
        self._suspected: dict[PeerId, _Suspicion] = {}
        self._refusing: dict[PeerId, float] = {}
        self._banned: set[PeerId] = set()

    def note_failure(self, peer: PeerId, now_s: float) -> None:
        """Avoids `peer` from now on, for longer each time."""
        times = self._cool_down
        earlier = self._suspected.get(peer)
        recent = earlier is not None and now_s - earlier.failed_s <= times.forgiven_s
        failures = earlier.failures + 1 if earlier is not None and recent else 1
        wait_s = min(times.most_s, times.first_s * 2.0 ** min(failures - 1, 30))
        self._suspected[peer] = _Suspicion(failures, now_s + wait_s, now_s)

    def note_refusal(self, peer: PeerId, now_s: float, retry_after_s: float) -> None:
        """Avoids `peer` for as long as it asked for; that is no failure."""
        self._refusing[peer] = now_s + min(retry_after_s, self._cool_down.most_s)

    def ban(self, peer: PeerId) -> None:
        """Avoids `peer` for good: it lied."""
        self._banned.add(peer)

    def banned(self) -> frozenset[PeerId]:
        return frozenset(self._banned)

    def avoided(self, now_s: float) -> frozenset[PeerId]:
        """Everybody that a route must not use as long as there is another one."""
        suspected = (peer for peer, suspicion in self._suspected.items() if now_s < suspicion.until_s)
        refusing = (peer for peer, until_s in self._refusing.items() if now_s < until_s)
        return frozenset((*self._banned, *suspected, *refusing))


class Trouble:
    """What went wrong with one step so far."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.give_up_at: float | None = None
        self.last: ComputeError | None = None
        self.bad_requests = 0

    def is_over(self, at: float) -> bool:
        return self.give_up_at is not None and at > self.give_up_at

    def note(self, error: ComputeError) -> None:
        self.last = error
        self.bad_requests += isinstance(error, BadRequest)


def gap_at(block: int, live: Iterable[Span], n_blocks: int) -> Span:
    """The blocks from `block`, which no live hop serves, up to the next one that is served."""
    return Span(block, min((span.start for span in live if span.start > block), default=n_blocks))


def cut_rows(rows: Sequence[Row], tokens_max: int) -> tuple[tuple[Row, ...], ...]:
    """`rows` in order, as steps of at most `tokens_max` tokens. A row that does not fit is continued in the next step.

    At least one step comes back, also for no rows at all (a fork alone is a step too).
    """
    steps: list[tuple[Row, ...]] = []
    current: list[Row] = []
    room = tokens_max
    for row in rows:
        done = 0
        while True:
            n = min(room, row.n_tokens - done)
            if n or not row.n_tokens:
                current.append(Row(row.lane, row.position + done, n))
            done += n
            room -= n
            if done == row.n_tokens:
                break
            steps.append(tuple(current))
            current, room = [], tokens_max
    if current or not steps:
        steps.append(tuple(current))
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class ReplayStep:
    """A step that brings an empty hop nearer to where the lanes are. `slots` name its packed tokens in the history."""

    fork: tuple[int, ...]
    rows: tuple[Row, ...]
    slots: Sequence[int]


def plan_replay(lanes: Sequence[Sequence[int]], tokens_max: int) -> tuple[ReplayStep, ...]:
    """The steps after which a hop that holds nothing holds `lanes`, given as the slots of their tokens.

    What lanes share is computed once, in one lane, and forked. Every step has at most `tokens_max` tokens. Nothing is
    to be done for lanes that are all empty.
    """
    if not any(lanes):
        return ()
    groups = _groups(lanes)
    if len(groups) == len(lanes):
        return _replay_rows(lanes, [0] * len(lanes), tokens_max, fork=())
    prefixes = [list(lanes[members[0]][: _common_length(lanes, members)]) for members in groups]
    group_of = {lane: index for index, members in enumerate(groups) for lane in members}
    fork = tuple(group_of[lane] for lane in range(len(lanes)))
    shared = _replay_rows(prefixes, [0] * len(prefixes), tokens_max, fork=())
    starts = [len(prefixes[group_of[lane]]) for lane in range(len(lanes))]
    return shared + _replay_rows(lanes, starts, tokens_max, fork)


def opening_rows(rows: Sequence[Row], lanes_after: int) -> tuple[Row, ...]:
    """`rows` for a hop that holds nothing yet: its lanes come into being with the highest that is named."""
    if rows and rows[-1].lane == lanes_after - 1:
        return tuple(rows)
    return (*rows, Row(lanes_after - 1, 0, 0))


def _groups(lanes: Sequence[Sequence[int]]) -> list[list[int]]:
    """Lanes that begin with the same token, together; empty ones are one group."""
    groups: dict[int, list[int]] = {}
    for index, lane in enumerate(lanes):
        groups.setdefault(lane[0] if lane else -1, []).append(index)
    return list(groups.values())


def _common_length(lanes: Sequence[Sequence[int]], members: Sequence[int]) -> int:
    """How many leading slots all members share."""
    first = lanes[members[0]]
    common = len(first)
    for member in members[1:]:
        lane = lanes[member]
        common = min(common, len(lane))
        if first[:common] != lane[:common]:
            common = next(i for i in range(common) if first[i] != lane[i])
    return common


def _replay_rows(
    lanes: Sequence[Sequence[int]], starts: Sequence[int], tokens_max: int, fork: tuple[int, ...]
) -> tuple[ReplayStep, ...]:
    """Steps that take each lane from `starts` to its end; `fork` comes with the first."""
    rows = [
        Row(index, start, len(lane) - start)
        for index, (lane, start) in enumerate(zip(lanes, starts, strict=True))
        if len(lane) > start
    ]
    if not fork:
        rows = list(opening_rows(rows, len(lanes)))
    steps: list[ReplayStep] = []
    for part in cut_rows(rows, tokens_max):
        slots = array("q")
        for row in part:
            slots.extend(lanes[row.lane][row.position : row.position + row.n_tokens])
        steps.append(ReplayStep(() if steps else fork, part, slots))
    return tuple(steps)
