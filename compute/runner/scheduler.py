"""Which tokens run next. Pure: facts in, one frozen Iteration out; time is an argument.

The problem: one device, many sessions at different positions. A decode step needs little of the device and its user
waits for every token; a prefill is long and can be cut; a training pass is long and nobody waits.

The rule, for every iteration:

1. every ready decode step is taken, up to `batch_tokens_max` tokens, less the chunk of 2. where a prefill waits;
2. waiting prefills get `prefill_chunk_tokens` between them, each row cut at multiples of that alone: who else prefills
   decides when a piece runs, not where it ends, and so not how attention over it is rounded;
3. a training slice runs alone when nothing else is ready, or when it has waited for `training_wait_s`; never two of
   them in a row while a step waits, so that a decode waits for one slice at most.

Where there is more than fits, *clients* share, not sessions: each has a count of tokens served, the least served goes
first, and one that comes back after a pause starts at the least count present, so that nobody saves up. A client with
many sessions gets no more than others.

Invariants (tests/compute/runner/test_scheduler.py): the budget is never exceeded; every step ends after finitely many
iterations; tokens are neither lost nor run twice; rows of different sub-spans never meet in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NewType

from compute.types import Span

StepKey = NewType("StepKey", int)


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """Budgets of one iteration.

    Args:
        batch_tokens_max: tokens of decode and prefill together. Too large delays everyone's next token.
        prefill_chunk_tokens: of all sessions together. Too small prefills slowly, too large stalls decoding.
        training_wait_s: the longest that a training slice waits for a quiet moment.
    """

    batch_tokens_max: int = 1024
    prefill_chunk_tokens: int = 256
    training_wait_s: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.prefill_chunk_tokens < self.batch_tokens_max:
            raise ValueError("prefill_chunk_tokens must be at least 1 and leave room for decoding in batch_tokens_max")


@dataclass(frozen=True, slots=True)
class Work:
    """A step that waits: `rows[i]` new tokens of its i-th row."""

    key: StepKey
    client: str
    span: Span
    rows: tuple[int, ...]

    @property
    def is_decode(self) -> bool:
        return all(n <= 1 for n in self.rows)

    @property
    def n_tokens(self) -> int:
        return sum(self.rows)


@dataclass(frozen=True, slots=True)
class Piece:
    """`n_tokens` of row `row` of a step, from its `start`-th new token on."""

    key: StepKey
    row: int
    start: int
    n_tokens: int


@dataclass(frozen=True, slots=True)
class Iteration:
    """What to run now: one batch over `span`, or one training slice."""

    span: Span | None = None
    pieces: tuple[Piece, ...] = ()
    training: StepKey | None = None

    @property
    def n_tokens(self) -> int:
        return sum(piece.n_tokens for piece in self.pieces)


@dataclass(slots=True)
class _Pending:
    work: Work
    turn: int  # when it came or was last served, as a count: the lowest has waited longest
    done: int = 0  # tokens, over the rows in order

    @property
    def left(self) -> int:
        return self.work.n_tokens - self.done

    def next_piece(self, granted: int, chunk: int) -> int:
        """Tokens of the piece after `granted` more: up to the next multiple of `chunk`, or the end of the row."""
        before = 0
        for length in self.work.rows:
            offset = self.done + granted - before
            if offset < length:
                return min(chunk - offset % chunk, length - offset)
            before += length
        return 0

    def cut(self, n_tokens: int) -> list[Piece]:
        """The next `n_tokens` as pieces of rows; they count as done."""
        pieces, before = [], 0
        for row, length in enumerate(self.work.rows):
            start = max(0, self.done - before)
            take = min(length - start, n_tokens)
            if take > 0:
                pieces.append(Piece(self.work.key, row, start, take))
                self.done += take
                n_tokens -= take
            before += length
        return pieces


@dataclass(slots=True)
class _Training:
    key: StepKey
    since_s: float


@dataclass(slots=True)
class Scheduler:
    """Steps that wait and the order in which they run."""

    options: SchedulerOptions = field(default_factory=SchedulerOptions)
    _pending: dict[StepKey, _Pending] = field(default_factory=dict)
    _training: dict[StepKey, _Training] = field(default_factory=dict)
    _served: dict[str, int] = field(default_factory=dict)
    _turns: int = 0
    _after_slice: bool = False  # the last iteration was a training slice

    def submit(self, work: Work) -> None:
        """Adds a step; a client that was away is put level with the least served that is here."""
        if work.n_tokens < 1 or work.key in self._pending:
            raise ValueError("a step needs at least one token and a key of its own")
        present = {p.work.client for p in self._pending.values()}
        if work.client not in present:
            floor = min((self._served[client] for client in present), default=0)
            self._served = {client: self._served[client] for client in present}
            self._served[work.client] = floor
        self._pending[work.key] = _Pending(work, self._next_turn())

    def submit_training(self, key: StepKey, now_s: float) -> None:
        """Adds one bounded slice of a training pass."""
        self._training[key] = _Training(key, now_s)

    def cancel(self, key: StepKey) -> None:
        """Forgets a step or slice; nothing happens when it is not there."""
        self._pending.pop(key, None)
        self._training.pop(key, None)

    @property
    def queued_tokens(self) -> int:
        return sum(pending.left for pending in self._pending.values())

    def __len__(self) -> int:
        return len(self._pending) + len(self._training)

    def plan(self, now_s: float, decode_tokens_max: Callable[[Span], int | None] = lambda _: None) -> Iteration | None:
        """The next iteration, whose tokens count as done; None when nothing waits.

        `decode_tokens_max` may lower the share of decode steps in a batch over the span it is given (to 1 at least).
        """
        training = self._due_training(now_s)
        self._after_slice = training is not None
        if training is not None:
            del self._training[training.key]
            return Iteration(training=training.key)
        if not self._pending:
            return None
        span = min(self._pending.values(), key=lambda p: p.turn).work.span
        pieces = self._plan_batch(span, decode_tokens_max(span))
        for key in {piece.key for piece in pieces}:
            pending = self._pending[key]
            pending.turn = self._next_turn()
            if pending.left == 0:
                del self._pending[key]
        return Iteration(span, tuple(pieces))

    def _next_turn(self) -> int:
        self._turns += 1
        return self._turns

    def _due_training(self, now_s: float) -> _Training | None:
        """The slice that waits longest, when it may run now."""
        longest = min(self._training.values(), key=lambda t: (t.since_s, t.key), default=None)
        if longest is None or not self._pending:
            return longest
        is_overdue = now_s - longest.since_s >= self.options.training_wait_s
        return longest if is_overdue and not self._after_slice else None

    def _plan_batch(self, span: Span, decode_max: int | None) -> list[Piece]:
        here = [p for p in self._pending.values() if p.work.span == span]
        decode = [p for p in here if p.work.is_decode]
        prefill = [p for p in here if not p.work.is_decode]
        chunk = self.options.prefill_chunk_tokens if prefill else 0
        room = self.options.batch_tokens_max - chunk
        if decode_max is not None:
            room = min(room, max(1, decode_max))
        return self._take(decode, room) + self._take(prefill, chunk)

    def _take(self, candidates: Sequence[_Pending], room: int) -> list[Piece]:
        """Pieces of the candidates within `room`, the least served client first. A client whose piece of a prefill does
        not fit any more goes without: it is among the first when there is a whole chunk again."""
        by_client = _by_client(candidates)
        granted: dict[StepKey, int] = {}
        while room > 0 and by_client:
            client = min(by_client, key=lambda name: (self._served[name], name))
            pending = by_client[client][0]
            so_far = granted.get(pending.work.key, 0)
            left = pending.left - so_far
            if pending.work.is_decode:
                take = min(left, room)
            elif (take := pending.next_piece(so_far, self.options.prefill_chunk_tokens)) > room:
                del by_client[client]
                continue
            granted[pending.work.key] = so_far + take
            self._served[client] += take
            room -= take
            if take == left:
                by_client[client].pop(0)
                if not by_client[client]:
                    del by_client[client]
        return [piece for key, n in granted.items() for piece in self._pending[key].cut(n)]


def _by_client(candidates: Iterable[_Pending]) -> dict[str, list[_Pending]]:
    """Each client's steps, the longest waiting first."""
    result: dict[str, list[_Pending]] = {}
    for pending in sorted(candidates, key=lambda p: p.turn):
        result.setdefault(pending.work.client, []).append(pending)
    return result
