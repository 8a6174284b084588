"""Hops that die, hang or send garbage: the same values as without, in bounded time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from compute.client.contracts import ANY_PROFILE, Profile
from compute.types import Codec, Row, Span

FAILOVER_S_MAX = 2.0
Run = Callable[[Any], Any]
LOST = ["dead", "silent", "deaf", "hung", "internal", "garbage"]


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("when", [0, 1, 5])
def test_a_lost_hop_changes_no_value_and_costs_little_time(
    swarm: Any, twin_of: Any, in_virtual_time: Run, how: str, which: int, when: int
) -> None:
    spans = [(0, 2), (2, 5), (5, 6)]
    for index, span in enumerate(spans):
        swarm.add(*span, fails_at_step=when if index == which else -1, fails_as=how)
    for span in spans:
        swarm.add(*span)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        for n_tokens in (7, 1, 1, 3, 1, 1, 1, 1):
            started = now()
            await twin.extend(n_tokens)
            assert now() - started < FAILOVER_S_MAX
        assert twin.session.stats.failovers == 1
        assert twin.session.route.hops[which].peer == swarm.providers[3 + which].peer
        twin.session.close()

    in_virtual_time(story())


@pytest.mark.parametrize("how", ["dead", "silent"])
def test_a_hop_that_died_while_idle_is_replaced_at_the_next_step(
    swarm: Any, twin_of: Any, in_virtual_time: Run, how: str
) -> None:
    first = swarm.add(0, 6)
    swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(5)
        await asyncio.sleep(8)
        first.become(how)
        await asyncio.sleep(1)
        started = now()
        await twin.extend(1)
        assert now() - started < FAILOVER_S_MAX
        await asyncio.sleep(60)  # keepalives hold the new one
        await twin.extend(1)
        assert twin.session.stats.failovers == 1

    in_virtual_time(story())


def test_a_range_may_be_replaced_by_a_chain_and_a_chain_by_one(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    whole = swarm.add(0, 6)
    parts = [swarm.add(0, 1), swarm.add(1, 4), swarm.add(4, 6)]

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(9)
        whole.become("dead")
        await twin.extend(1)
        assert [hop.span for hop in twin.session.route.hops] == [Span(0, 1), Span(1, 4), Span(4, 6)]
        await twin.extend(2)
        swarm.add(0, 6)
        for part in parts:
            part.become("dead")
        await twin.extend(1)
        await twin.extend(1)
        assert twin.session.route.hops[-1].span.end == 6

    in_virtual_time(story())


def test_several_losses_in_one_step(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    for _ in range(3):
        swarm.add(0, 3), swarm.add(3, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(6)
        for provider in swarm.providers[:4]:
            provider.become("silent")
        await twin.extend(1)
        assert [hop.peer for hop in twin.session.route.hops] == [p.peer for p in swarm.providers[4:]]
        await twin.extend(1)

    in_virtual_time(story())


def test_forks_and_roll_backs_survive_losses(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    for _ in range(6):
        swarm.add(0, 3), swarm.add(3, 6)

    async def story() -> None:
        twin = twin_of(swarm, lanes=2)
        await twin.session.open()
        await twin.extend(20, 4)
        await twin.extend(1, 1, 1, 1, fork=(0, 0, 1, 1))
        victims = iter(swarm.providers)
        next(victims).become("dead")
        await twin.extend(1, 1, 1, 1, fork=(1, 1, 0, 3))
        next(victims).become("silent")
        await twin.step([Row(0, 5, 2), Row(1, 22, 0), Row(3, 3, 1)])
        next(victims).become("dead"), next(victims).become("hung")
        await twin.step([Row(0, 7, 1)], fork=(0, 1))
        await twin.step([], fork=(1, 0, 0))
        next(victims).become("deaf"), next(victims).become("dead")
        await twin.extend(1, 2, 3)
        assert twin.session.stats.failovers == 6

    in_virtual_time(story())


def test_shared_tokens_are_replayed_once(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    first = swarm.add(0, 6)
    swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(30)
        await twin.extend(1, 1, 1, 1, fork=(0, 0, 0, 0))
        first.become("dead")
        await twin.extend(1, 1, 1, 1)
        assert twin.session.stats.replayed_tokens == 34

    in_virtual_time(story())


def test_eight_bit_sessions_are_replayed_with_the_very_same_bytes(
    swarm: Any, twin_of: Any, in_virtual_time: Run
) -> None:
    swarm.codec = Codec.BLOCK8
    first = swarm.add(0, 6)
    second = swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        hidden = twin.hidden(5)
        await twin.session.step([Row(0, 0, 5)], hidden)
        first.become("dead")
        await twin.session.step([Row(0, 5, 1)], twin.hidden(1))
        sent = [stream.heard[1].hidden for provider in (first, second) for stream in provider.streams]
        assert sent[0] == sent[1]

    in_virtual_time(story())


def test_a_replacement_must_compute_as_the_hops_of_the_start_do(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    swarm.add(0, 3)
    swarm.add(3, 6, fails_at_step=1, fails_as="dead")
    swarm.add(3, 6)
    swarm.profile = Profile("fp32", "fp32/fp32/fp32")

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        assert swarm.asked_profiles == [ANY_PROFILE]
        for n_tokens in (5, 1, 1):
            await twin.extend(n_tokens)
        assert set(swarm.asked_profiles[1:]) == {swarm.profile}
        twin.session.close()

    in_virtual_time(story())


def test_beating_without_ever_answering_ends_too(swarm: Any, twin_of: Any, in_virtual_time: Run) -> None:
    swarm.add(0, 6, mood="stuck")
    swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(2)
        assert 299 < now() < 310

    in_virtual_time(story())


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_values_stay_those_of_one_machine(
    swarm: Any, twin_of: Any, in_virtual_time: Run, seed: int
) -> None:
    """Random steps, forks, roll-backs, losses and refusals; one reliable provider per block at the end of the list."""
    rng = random.Random(seed)
    bounds = sorted({0, 6, *rng.sample(range(1, 6), 2)})
    for _ in range(4):
        for start, end in pairwise(bounds):
            swarm.add(start, end, fails_at_step=rng.randrange(12), fails_as=rng.choice(LOST), refusals=rng.randrange(2))
        bounds = sorted({0, 6, *rng.sample(range(1, 6), rng.randrange(3))})
    swarm.add(0, 6, step_tokens_max=5)

    async def story() -> None:
        twin = twin_of(swarm, lanes=rng.randint(1, 3), seed=seed)
        await twin.session.open()
        for _ in range(14):
            fork: tuple[int, ...] = ()
            if rng.random() < 0.4:
                fork = tuple(rng.randrange(len(twin.session.lengths)) for _ in range(rng.randint(1, 4)))
            lengths = [twin.session.lengths[i] for i in fork] if fork else list(twin.session.lengths)
            rows = []
            for lane, length in enumerate(lengths):
                if rng.random() < 0.8:
                    position = length if rng.random() < 0.7 else rng.randint(0, length)
                    rows.append(Row(lane, position, rng.choice((0, 1, 1, 1, 4, 11))))
            if rng.random() < 0.1:
                await twin.session.suspend()
            if rows or fork:
                await twin.step(rows, fork)
        twin.session.close()
        await asyncio.sleep(0.1)
        assert swarm.open_streams == 0

    in_virtual_time(story())


def test_a_newcomer_does_not_wait_for_a_second_chance_given_to_a_dead_peer(
    swarm: Any, twin_of: Any, in_virtual_time: Run
) -> None:
    """News of the only replica come late, when the silent provider has already been dialled again."""
    first = swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        await twin.extend(5)
        first.become("silent")
        late = swarm.add(0, 6)
        swarm.providers.remove(late)
        asyncio.get_running_loop().call_later(1.2, swarm.newcomers.append, late)  # 0.7 s find out, 0.5 s later
        started = now()
        await twin.extend(1)
        assert now() - started < FAILOVER_S_MAX
        assert twin.session.route.hops[0].peer == late.peer
        assert first.open_streams == 0
        twin.session.close()
        await asyncio.sleep(0.1)
        assert swarm.open_streams == 0

    in_virtual_time(story())
