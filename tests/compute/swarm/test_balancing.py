from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.identity import NO_CHAIN, NodeKey
from compute.swarm.balancing import (
    MoveClocks,
    MoveRules,
    Rates,
    Seat,
    best_span,
    better_span,
    block_rates,
    choose_span,
    elect,
    should_move,
)
from compute.swarm.records import PeerState, ProviderRecord
from compute.types import PeerId, Span

KEY = NodeKey(b"b" * 32)
KEYS = [NodeKey(bytes([n]) * 32) for n in range(1, 20)]
RULES = MoveRules()
LONG_AGO = MoveClocks(now_s=10_000.0, moved_at_s=0.0)


def provider(
    span: Span, n_blocks: int, block_rate: float = 1000.0, state: PeerState = PeerState.ONLINE
) -> ProviderRecord:
    return ProviderRecord(
        public_key=KEY.public_key,
        network_id=NO_CHAIN,
        model_root=b"r" * 32,
        model_name="tiny",
        span=span,
        n_blocks=n_blocks,
        state=state,
        expires_at_ms=1,
        decode_us=round(1e6 * len(span) / block_rate),
    )


def test_the_first_provider_takes_everything_it_can() -> None:
    assert choose_span([], 30, 30, 1000.0) == Span(0, 30)
    assert choose_span([], 30, 10, 1000.0) == Span(0, 10)


def test_the_second_takes_just_what_is_missing() -> None:
    assert choose_span([provider(Span(0, 15), 30)], 30, 30, 1000.0) == Span(15, 30)
    assert choose_span([provider(Span(10, 20), 30)], 30, 10, 1000.0) in (Span(0, 10), Span(20, 30))


def test_a_provider_that_leaves_does_not_count_and_one_that_joins_does() -> None:
    leaving = provider(Span(0, 15), 30, state=PeerState.LEAVING)
    joining = provider(Span(0, 15), 30, state=PeerState.JOINING)
    assert choose_span([leaving], 30, 15, 1000.0) == Span(0, 15)
    assert choose_span([joining], 30, 15, 1000.0) == Span(15, 30)


def test_no_room_for_a_block_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="at least one block"):
        choose_span([], 30, 0, 1000.0)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10), st.floats(50, 5000)), max_size=5),
    st.integers(1, 10),
    st.floats(50, 5000),
)
def test_no_other_span_would_leave_a_faster_bottleneck(
    others: list[tuple[int, int, float]], blocks_max: int, rate: float
) -> None:
    records = [provider(Span(start, min(10, start + n)), 10, r) for start, n, r in others]
    rates = block_rates(records, 10)

    def slowest_with(span: Span) -> float:
        after = rates.copy()
        after[span.start : span.end] += rate / len(span)
        return float(after.min())

    chosen = choose_span(records, 10, blocks_max, rate)
    assert len(chosen) <= blocks_max
    spans = [Span(s, s + n) for n in range(1, blocks_max + 1) for s in range(10 - n + 1)]
    assert slowest_with(chosen) == pytest.approx(max(slowest_with(span) for span in spans))


def test_providers_that_come_one_by_one_end_near_the_best_bottleneck() -> None:
    """200 providers of very different speed and memory, each choosing alone, on 32 blocks."""
    n_blocks, rng = 32, random.Random(7)
    records: list[ProviderRecord] = []
    for _ in range(200):
        rate, blocks_max = rng.uniform(200, 4000), rng.randint(1, n_blocks)
        records.append(provider(choose_span(records, n_blocks, blocks_max, rate), n_blocks, rate))
    rates = block_rates(records, n_blocks)
    ideal = float(np.sum(rates)) / n_blocks  # if the same work were spread evenly
    assert rates.min() > 0.8 * ideal


# ---------------------------------------------------------------------- twins

rate_lists = st.lists(st.sampled_from([0.0, 0.0, 50.0, 100.0, 250.0, 1000.0]), min_size=1, max_size=10)


@given(rate_lists, st.integers(1, 12), st.sampled_from([60.0, 100.0, 720.0, 5040.0]))
def test_the_span_is_that_of_trying_them_all(rates: list[float], blocks_max: int, block_rate: float) -> None:
    def key(span: Span) -> tuple[float, ...]:
        after = np.array(rates)
        after[span.start : span.end] += block_rate / len(span)
        at_slowest = int((after <= after.min() * 1.001).sum())
        mean = round(float(np.mean(rates[span.start : span.end])), 6)
        return (round(float(after.min()), 6), -at_slowest, -mean, len(span), -span.start)

    every = [Span(s, s + n) for n in range(1, min(blocks_max, len(rates)) + 1) for s in range(len(rates) - n + 1)]
    assert key(best_span(np.array(rates), blocks_max, block_rate)) == max(key(span) for span in every)


def badness(rates: Rates, target: float) -> tuple[int, float]:
    """What moves must lower: unserved blocks first, then the deficit."""
    return int((rates <= 1e-6).sum()), float(np.maximum(target - rates, 0.0).sum())


def moved(rates: Rates, seat: Seat, span: Span) -> Rates:
    after = rates.copy()
    after[seat.span.start : seat.span.end] -= seat.block_rate / len(seat.span)
    after[span.start : span.end] += seat.block_rate / len(span)
    return after


@given(rate_lists, st.data())
def test_a_move_is_the_best_of_all_spans_and_worth_its_price(others: list[float], data: st.DataObject) -> None:
    n_blocks = len(others)
    start = data.draw(st.integers(0, n_blocks - 1))
    span = Span(start, data.draw(st.integers(start + 1, n_blocks)))
    seat = Seat(KEY.peer_id, span, data.draw(st.sampled_from([60.0, 720.0, 5040.0])), data.draw(st.integers(1, 12)))
    rates = np.array(others)
    rates[start : span.end] += seat.block_rate / len(span)
    target = RULES.target * float(rates.mean())
    now = badness(rates, target)
    every = [Span(s, s + n) for n in range(1, min(seat.blocks_max, n_blocks) + 1) for s in range(n_blocks - n + 1)]
    holes, deficit = min(badness(moved(rates, seat, other), target) for other in every)
    chosen = better_span(rates, seat, RULES)
    gain = now[1] - deficit
    if chosen is None:
        assert holes >= now[0]
        assert holes > now[0] or gain < RULES.gain_min * seat.block_rate + 1e-6
    else:
        after = badness(moved(rates, seat, chosen), target)
        assert after[0] == holes
        assert after[1] == pytest.approx(deficit)
        assert holes < now[0] or gain >= RULES.gain_min * seat.block_rate - 1e-6


# ---------------------------------------------------------------------- moving


def record_of(number: int, span: Span, state: PeerState = PeerState.ONLINE) -> ProviderRecord:
    return replace(provider(span, 30, state=state), public_key=KEYS[number].public_key)


def movers(records: Sequence[ProviderRecord], clocks: MoveClocks = LONG_AGO) -> list[tuple[ProviderRecord, Span]]:
    """Everyone who would move, each deciding alone on the same records."""
    wishes = [(record, should_move(record, records, len(record.span), clocks, RULES)) for record in records]
    return [(record, span) for record, span in wishes if span is not None]


def test_of_two_on_the_same_half_exactly_one_moves_to_the_other() -> None:
    records = [record_of(0, Span(0, 15)), record_of(1, Span(0, 15))]
    ((_, span),) = movers(records)
    assert span == Span(15, 30)


def test_nobody_moves_in_a_swarm_that_is_even() -> None:
    assert movers([record_of(n, Span(0, 15) if n % 2 else Span(15, 30)) for n in range(10)]) == []


def test_a_hole_is_filled_by_whoever_leaves_none_behind() -> None:
    ((mover, span),) = movers([record_of(0, Span(0, 15)), record_of(1, Span(10, 25))])
    assert (mover.span, span) == (Span(10, 25), Span(15, 30))


def test_nobody_gives_up_blocks_that_only_they_serve() -> None:
    """Blocks 28:30 are unserved, but whoever went there would leave as many behind."""
    assert movers([record_of(0, Span(0, 15)), record_of(1, Span(15, 28))]) == []


def test_whoever_has_just_moved_stays() -> None:
    records = [record_of(0, Span(0, 15)), record_of(1, Span(0, 15))]
    assert movers(records, MoveClocks(now_s=10_000.0, moved_at_s=10_000.0 - RULES.stay_s + 1)) == []


def test_while_the_one_before_is_joining_nobody_else_moves() -> None:
    """Six crowd on one half: each window has one mover, until the records tell of it and further until it serves."""
    records = [record_of(n, Span(0, 15)) for n in range(6)]
    ((first, span),) = movers(records)
    moving = [
        replace(record, span=span, state=PeerState.JOINING) if record.peer_id == first.peer_id else record
        for record in records
    ]
    assert movers(moving) == []
    settled = [replace(record, state=PeerState.ONLINE) for record in moving]
    ((second, _),) = movers(settled)
    assert second.peer_id != first.peer_id


def test_the_order_differs_between_windows() -> None:
    records = [record_of(n, Span(0, 15)) for n in range(6)]
    first = {movers(records, MoveClocks(10_000.0 + n * RULES.window_s, 0.0))[0][0].peer_id for n in range(40)}
    assert len(first) > 2


# ---------------------------------------------------------------------- 10,000 peers


class Swarm:
    """Seats and the rates that they add up to; everyone sees everyone."""

    def __init__(self, n_blocks: int) -> None:
        self.rates: Rates = np.zeros(n_blocks)
        self.seats: dict[PeerId, Seat] = {}

    @property
    def evenness(self) -> float:
        """Bottleneck over what it would be if the same work were spread evenly, which nobody can beat."""
        return float(self.rates.min() / self.rates.mean())

    def sit(self, seat: Seat) -> None:
        self.rates[seat.span.start : seat.span.end] += seat.block_rate / len(seat.span)
        self.seats[seat.peer] = seat

    def leave(self, peer: PeerId) -> None:
        seat = self.seats.pop(peer)
        self.rates[seat.span.start : seat.span.end] -= seat.block_rate / len(seat.span)


def settle(swarm: Swarm, windows_max: int) -> Counter[PeerId]:
    """Lets the elected move, window by window, until nobody wants to; how often each moved."""
    moves: Counter[PeerId] = Counter()
    for window in range(windows_max):
        elected = elect(swarm.rates, list(swarm.seats.values()), window, RULES)
        if elected is None:
            return moves
        seat, span = elected
        swarm.leave(seat.peer)
        swarm.sit(replace(seat, span=span))
        moves[seat.peer] += 1
    raise AssertionError(f"still moving after {windows_max} windows")


@pytest.mark.slow
def test_ten_thousand_peers_come_to_rest_near_the_optimum() -> None:
    """They join one by one, a region of 1,500 is lost at once, and the rest move until nobody wants to any more."""
    n_blocks, rng = 32, random.Random(11)
    swarm = Swarm(n_blocks)
    for number in range(10_000):
        rate, blocks_max = 10 ** rng.uniform(2, 4), rng.randint(1, 16)
        span = best_span(swarm.rates, blocks_max, rate)
        swarm.sit(Seat(PeerId(f"peer-{number}"), span, rate, blocks_max, ticket=rng.getrandbits(64)))
    assert swarm.evenness > 0.95
    assert settle(swarm, 1) == Counter()

    lost = [seat.peer for seat in swarm.seats.values() if seat.span.start < 8][:1500]
    for peer in lost:
        swarm.leave(peer)
    assert swarm.evenness < 0.7
    capacity = float(swarm.rates.sum())
    moves = settle(swarm, 2000)
    assert swarm.evenness > 0.75
    assert float(swarm.rates.sum()) == pytest.approx(capacity)
    assert 0 < moves.total() < 400
    assert max(moves.values()) <= 2
    for window in range(2000, 2003):
        assert elect(swarm.rates, list(swarm.seats.values()), window, RULES) is None


@pytest.mark.parametrize("seed", range(8))
def test_small_swarms_from_any_start_come_to_rest_without_holes(seed: int) -> None:
    rng, n_blocks = random.Random(seed), 24
    swarm = Swarm(n_blocks)
    for number in range(30):
        length = rng.randint(4, 12)
        start = rng.randint(0, 6)  # all crowd at the beginning
        rate = rng.uniform(500, 2000)
        swarm.sit(Seat(PeerId(f"peer-{number}"), Span(start, start + length), rate, length, ticket=rng.getrandbits(64)))
    moves = settle(swarm, 300)
    assert swarm.evenness > 0.5
    assert moves.total() <= 60
