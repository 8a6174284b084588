"""Which blocks a provider should take, and when it should take others. Pure.

A pipeline is as fast as its slowest block. A provider that spreads over more blocks is slower on each, so length is
part of the choice: every span up to the provider's limit is tried, and judged by what the slowest block of the whole
model could then do.

**Moving.** The *target* is a fixed part of what every block would do if the swarm's work were spread evenly, and the
*deficit* is how far all blocks together stay below it. A move is worth its price when it fills blocks that nobody
serves, or when the deficit falls by a good part of the mover's own capacity. The sum of all blocks' rates is the sum of
the providers' capacities wherever they sit, so moves leave the target alone; every move lowers (unserved blocks,
deficit) lexicographically by no less than a fixed part of a provider, so a swarm comes to rest after a bounded number
of moves and nobody flaps. A threshold on the bottleneck itself would not do: among thousands of providers no single
move changes it.

**One at a time.** In each window of time all providers have an order, the same in everyone's view and another one in
the next window. Only the first whose move would help may move, and nobody behind one that is still joining.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compute.swarm.records import PeerState, ProviderRecord
from compute.types import PeerId, Span

Rates = npt.NDArray[np.float64]

_DEFAULT_BLOCK_RATE = 1000.0
_AT_SLOWEST = 1.001


@dataclass(frozen=True, slots=True)
class MoveRules:
    """When a move is worth dropping and loading weights.

    Args:
        target: part of the evenly spread rate that every block should have; no block below it, no move. Too high, and
            swarms whose spans do not fit together move for nothing.
        gain_min: part of the mover's capacity by which the deficit must fall.
        stay_s: after a move, or the start, a provider stays at least that long.
        window_s: one mover per window; longer than a record needs to be seen by all.
    """

    target: float = 0.8
    gain_min: float = 0.25
    stay_s: float = 300.0
    window_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Seat:
    """A provider as balancing sees it. `block_rate`: tokens per second of one block on it."""

    peer: PeerId
    span: Span
    block_rate: float
    blocks_max: int
    joining: bool = False
    ticket: int = 0
    """64 bits of the peer's own, from which its place in every window's order is drawn."""


def block_rates(records: Sequence[ProviderRecord], n_blocks: int) -> Rates:
    """Tokens per second that providers which serve, or are about to, can push through each block."""
    # Difference arrays: what a span adds at its start is taken away at its end. The counts are exact, and tell a block
    # that nobody serves from one where the sums leave dust.
    steps, counts = np.zeros(n_blocks + 1), np.zeros(n_blocks + 1, dtype=np.int64)
    for record in records:
        if record.state is PeerState.LEAVING or record.span.start >= n_blocks:
            continue
        start, end = record.span.start, min(record.span.end, n_blocks)
        rate = _block_rate(record) / len(record.span)
        steps[start] += rate
        steps[end] -= rate
        counts[start] += 1
        counts[end] -= 1
    return np.where(np.cumsum(counts)[:-1] > 0, np.maximum(np.cumsum(steps)[:-1], 0.0), 0.0)


def choose_span(records: Sequence[ProviderRecord], n_blocks: int, blocks_max: int, block_rate: float) -> Span:
    """The span of at most `blocks_max` blocks that leaves the swarm's slowest block fastest.

    `block_rate`: tokens per second of one block on this provider; a span of n blocks then does `block_rate / n`. Among
    spans that leave the same slowest rate, the one that leaves the fewest blocks at it, then the one over the weakest
    blocks, then the longest, then the first. Well under a millisecond once the rates are added up.
    """
    return best_span(block_rates(records, n_blocks), blocks_max, block_rate)


def best_span(rates: Rates, blocks_max: int, block_rate: float) -> Span:
    """`choose_span` for rates that are known already. Raises ValueError when not even one block is allowed."""
    n_blocks = len(rates)
    longest = min(blocks_max, n_blocks)
    if longest < 1:
        raise ValueError("a provider serves at least one block")
    gains = block_rate / np.arange(1, longest + 1)
    slowest = _slowest_after(rates, gains)
    best = float(slowest.max())
    starts, columns = np.nonzero(slowest == best)
    limit = best * _AT_SLOWEST
    at_slowest, weakest = np.empty(len(starts)), np.empty(len(starts))
    total, summed = int((rates <= limit).sum()), _prefix_sums(rates)
    low = _prefix_sums(rates <= limit)
    for column in np.unique(columns):
        mine = columns == column
        first, last = starts[mine], starts[mine] + column + 1
        still_low = _prefix_sums(rates + gains[column] <= limit)
        at_slowest[mine] = total - (low[last] - low[first]) + (still_low[last] - still_low[first])
        weakest[mine] = (summed[last] - summed[first]) / (column + 1)
    first_of = int(np.lexsort((starts, -columns, weakest, at_slowest))[0])
    start = int(starts[first_of])
    return Span(start, start + int(columns[first_of]) + 1)


def better_span(rates: Rates, seat: Seat, rules: MoveRules) -> Span | None:
    """The span to which `seat` should move, or None when it should stay. `rates` include the seat as it is now."""
    target = rules.target * float(rates.mean())
    without = rates.copy()
    without[seat.span.start : seat.span.end] -= seat.block_rate / len(seat.span)
    # Differences of sums leave dust, which would make an unserved block look served.
    without[without < 1e-9 * max(1.0, float(rates.max()))] = 0.0
    holes_now, deficit_now = int((rates <= 0).sum()), float(np.maximum(target - rates, 0.0).sum())
    span, holes, deficit = _least_deficit(without, seat, target)
    if span == seat.span or holes > holes_now:
        return None
    if holes == holes_now and deficit_now - deficit < rules.gain_min * seat.block_rate:
        return None
    return span


def elect(rates: Rates, seats: Sequence[Seat], window: int, rules: MoveRules) -> tuple[Seat, Span] | None:
    """Who may move in `window`, and where to; None when nobody should, or when the one whose turn it is still joins."""
    for number in _order(seats, window):
        seat = seats[number]
        if seat.joining:
            return None
        if (span := better_span(rates, seat, rules)) is not None:
            return seat, span
    return None


def should_move(
    me: ProviderRecord, records: Sequence[ProviderRecord], blocks_max: int, clocks: MoveClocks, rules: MoveRules
) -> Span | None:
    """The span that this provider should drain and move to now, or None.

    `records` are those of its own model and may contain `me`. How many blocks others can hold is not announced; they
    are taken to hold as many as they do now. Cheap while the swarm is balanced: others are looked at only if we would
    gain ourselves, and then only until the first that may go before us.
    """
    if clocks.now_s - clocks.moved_at_s < rules.stay_s or me.state is not PeerState.ONLINE:
        return None
    all_records = [*(record for record in records if record.peer_id != me.peer_id), me]
    rates = block_rates(all_records, me.n_blocks)
    mine = seat_of(me, blocks_max)
    wanted = better_span(rates, mine, rules)
    if wanted is None:
        return None
    live = [record for record in all_records if record.state is not PeerState.LEAVING]
    seats = [mine if record is me else seat_of(record, len(record.span)) for record in live]
    elected = elect(rates, seats, int(clocks.now_s // rules.window_s), rules)
    return wanted if elected is not None and elected[0] is mine else None


@dataclass(frozen=True, slots=True)
class MoveClocks:
    """Seconds of the clock that all nodes share (the DHT's): now, and when this provider began to serve its span."""

    now_s: float
    moved_at_s: float


def seat_of(record: ProviderRecord, blocks_max: int) -> Seat:
    digest = hashlib.blake2b(record.public_key, digest_size=8).digest()
    return Seat(
        peer=record.peer_id,
        span=record.span,
        block_rate=_block_rate(record),
        blocks_max=blocks_max,
        joining=record.state is PeerState.JOINING,
        ticket=int.from_bytes(digest),
    )


def _block_rate(record: ProviderRecord) -> float:
    """Tokens per second of one block."""
    return len(record.span) * 1e6 / record.decode_us if record.decode_us else _DEFAULT_BLOCK_RATE


def _slowest_after(rates: Rates, gains: Rates) -> Rates:
    """`[n_blocks, len(gains)]`: the slowest block once a span of `column + 1` blocks from `row` gains `gains[column]`.

    Minus infinity where such a span would reach beyond the model.
    """
    n_blocks, longest = len(rates), len(gains)
    inner = np.minimum.accumulate(_windows(rates, longest), axis=1) + gains
    before = np.concatenate(([np.inf], np.minimum.accumulate(rates)[:-1]))
    from_here = np.minimum.accumulate(rates[::-1])[::-1]
    beyond = _windows(np.concatenate((from_here[1:], [np.inf])), longest)
    slowest = np.minimum(np.minimum(inner, beyond), before[:, None])
    slowest[_beyond_the_model(n_blocks, longest)] = -np.inf
    return slowest


def _least_deficit(without: Rates, seat: Seat, target: float) -> tuple[Span, int, float]:
    """The seat's best span on a swarm without it, the blocks that stay unserved then, and the deficit."""
    n_blocks, longest = len(without), min(seat.blocks_max, len(without))
    gains = seat.block_rate / np.arange(1, longest + 1)
    lacking = np.maximum(target - without, 0.0)
    unserved = without <= 0
    starts = np.arange(n_blocks)[:, None]
    ends = np.minimum(starts + np.arange(1, longest + 1)[None, :], n_blocks)
    unserved_sums = _prefix_sums(unserved)
    holes = int(unserved.sum()) - (unserved_sums[ends] - unserved_sums[starts])
    # One column of prefix sums per length: what a span of that length gives to each block it covers.
    filled = np.zeros((n_blocks + 1, longest))
    np.cumsum(np.minimum(lacking[:, None], gains[None, :]), axis=0, out=filled[1:])
    columns = np.arange(longest)[None, :]
    deficit = float(lacking.sum()) - (filled[ends, columns] - filled[starts, columns])
    beyond = _beyond_the_model(n_blocks, longest)
    holes, deficit = np.where(beyond, n_blocks + 1, holes), np.where(beyond, np.inf, deficit)
    fewest = int(holes.min())
    flat = int(np.where(holes == fewest, deficit, np.inf).argmin())
    start, column = divmod(flat, longest)
    return Span(start, start + column + 1), fewest, float(deficit[start, column])


def _windows(values: Rates, longest: int) -> Rates:
    """`[len(values), longest]`: row r holds the values from r on, infinite beyond the last."""
    padded = np.concatenate((values, np.full(longest - 1, np.inf)))
    view: Rates = np.lib.stride_tricks.sliding_window_view(padded, longest)
    return view


def _beyond_the_model(n_blocks: int, longest: int) -> npt.NDArray[np.bool_]:
    beyond: npt.NDArray[np.bool_] = np.arange(n_blocks)[:, None] + np.arange(1, longest + 1)[None, :] > n_blocks
    return beyond


def _prefix_sums(values: npt.NDArray[np.generic]) -> Rates:
    return np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))


def _order(seats: Sequence[Seat], window: int) -> npt.NDArray[np.int64]:
    """Numbers of the seats in the order of `window`: by a mix of ticket and window (the finaliser of splitmix64)."""
    mask = (1 << 64) - 1
    mixed = np.array([seat.ticket for seat in seats], dtype=np.uint64) ^ np.uint64(window * 0x9E3779B97F4A7C15 & mask)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.argsort(mixed ^ (mixed >> np.uint64(31)), kind="stable")
