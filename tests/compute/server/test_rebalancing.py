"""A provider that looks at its swarm in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

import pytest

from compute.identity import NO_CHAIN, NodeKey
from compute.server.mover import Mover
from compute.server.rebalancing import Rebalancer
from compute.swarm.balancing import MoveRules
from compute.swarm.records import PeerState, ProviderRecord
from compute.types import Span

RULES = MoveRules(stay_s=300.0, window_s=30.0)


def record(number: int, span: Span, state: PeerState = PeerState.ONLINE) -> ProviderRecord:
    return ProviderRecord(
        public_key=NodeKey(bytes([number]) * 32).public_key,
        network_id=NO_CHAIN,
        model_root=b"r" * 32,
        model_name="tiny",
        span=span,
        n_blocks=30,
        state=state,
        expires_at_ms=1,
        decode_us=1000 * len(span),
    )


ME = record(1, Span(0, 15))
HOLE = (ME, record(2, Span(0, 15)))
EVEN = (ME, record(2, Span(15, 30)))


def turn_of(me: ProviderRecord, records: Sequence[ProviderRecord], blocks_max: int = 15) -> float:
    """The beginning of a turn of `me`'s, long after the start."""
    for window in range(100, 200):
        now_s = window * RULES.window_s
        rebalancer = Rebalancer(RULES, blocks_max, 0.0)
        rebalancer.look(me, records, now_s)
        if rebalancer.look(me, records, now_s) is not None:
            return now_s
    raise AssertionError("never its turn")


def test_a_move_is_made_when_two_looks_in_one_turn_agree() -> None:
    rebalancer, now_s = Rebalancer(RULES, 15, 0.0), turn_of(ME, HOLE)
    assert rebalancer.look(ME, HOLE, now_s) is None
    assert rebalancer.look(ME, HOLE, now_s + 10) == Span(15, 30)


def test_one_odd_look_is_not_believed() -> None:
    rebalancer, now_s = Rebalancer(RULES, 15, 0.0), turn_of(ME, HOLE)
    assert rebalancer.look(ME, HOLE, now_s) is None
    assert rebalancer.look(ME, EVEN, now_s + 10) is None
    assert rebalancer.look(ME, HOLE, now_s + 20) is None


def test_a_wish_does_not_outlast_its_turn() -> None:
    rebalancer, now_s = Rebalancer(RULES, 15, 0.0), turn_of(ME, HOLE)
    assert rebalancer.look(ME, HOLE, now_s + 20) is None
    assert rebalancer.look(ME, HOLE, now_s + 30) is None


def test_after_a_move_that_ended_in_whatever_way_it_stays() -> None:
    rebalancer, now_s = Rebalancer(RULES, 15, 0.0), turn_of(ME, HOLE)
    rebalancer.look(ME, HOLE, now_s)
    rebalancer.settled(now_s + 1)
    until_s = now_s + 1 + RULES.stay_s
    while now_s < until_s:
        assert rebalancer.look(ME, HOLE, now_s) is None
        now_s += 10


def test_of_two_that_could_move_at_most_one_does_at_a_time() -> None:
    other = HOLE[1]
    mine, theirs = Rebalancer(RULES, 15, 0.0), Rebalancer(RULES, 15, 0.0)
    moves = []
    for tick in range(300, 400):
        now_s = tick * 10.0
        wishes = (mine.look(ME, HOLE, now_s), theirs.look(other, HOLE, now_s))
        assert None in wishes
        moves += [wish for wish in wishes if wish is not None]
    assert set(moves) == {Span(15, 30)}


@pytest.mark.parametrize("state", [PeerState.JOINING, PeerState.LEAVING])
def test_only_who_serves_may_move(state: PeerState) -> None:
    rebalancer, now_s = Rebalancer(RULES, 15, 0.0), turn_of(ME, HOLE)
    me = replace(ME, state=state)
    assert [rebalancer.look(me, (me, HOLE[1]), now_s + passed) for passed in (0, 10)] == [None, None]


# ---------------------------------------------------------------- the mover


class NoMemory(Exception):
    pass


class Node:
    """A provider that moves, or not, as the test says."""

    def __init__(self, outcome: bool | Exception) -> None:
        self.me = ME
        self.outcome = outcome
        self.moves: list[Span] = []

    async def view(self) -> tuple[ProviderRecord, tuple[ProviderRecord, ...]]:
        return self.me, (self.me, HOLE[1])

    async def move(self, span: Span) -> bool:
        self.moves.append(span)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if self.outcome:
            self.me = replace(self.me, span=span)
        return self.outcome


async def looks(node: Node, seconds: int) -> None:
    """Looks every ten seconds from a turn of its own on; errors are the loop's to bear."""
    now_s = turn_of(ME, HOLE)
    end_s = now_s + seconds
    mover = Mover(node, Rebalancer(RULES, 15, 0.0), 10.0, lambda: now_s)
    while now_s < end_s:
        with contextlib.suppress(NoMemory):
            await mover.look()
        now_s += 10


async def test_a_node_moves_once_and_then_the_swarm_is_even() -> None:
    node = Node(outcome=True)
    await looks(node, 5000)
    assert node.moves == [Span(15, 30)]


@pytest.mark.parametrize("outcome", [False, NoMemory()])
async def test_a_move_that_fails_is_tried_again_after_a_while(outcome: bool | Exception) -> None:
    node = Node(outcome)
    await looks(node, int(RULES.stay_s))
    assert len(node.moves) == 1
    await looks(node, 5000)
    assert len(node.moves) > 1


async def test_a_mover_that_is_stopped_gives_its_move_up() -> None:
    moving = asyncio.Event()

    class Slow(Node):
        async def move(self, span: Span) -> bool:
            moving.set()
            await asyncio.Event().wait()
            return True

    now_s = turn_of(ME, HOLE)
    mover = Mover(Slow(outcome=True), Rebalancer(RULES, 15, 0.0), 0.001, lambda: now_s)
    mover.start()
    await asyncio.wait_for(moving.wait(), 5.0)
    await asyncio.wait_for(mover.stop(), 5.0)
