"""A provider dies or freezes in the middle of a sentence: the same tokens go on, within two seconds."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from typing import Any

import pytest

from peerz_node.generation import Sampling, route_of, show_nothing, swarm_generator
from peerz_node.settings import Settings

pytestmark = [pytest.mark.e2e, pytest.mark.model, pytest.mark.timeout(300)]

GAP_MAX_S = 2.0
N_TOKENS = 48
HIT_AFTER = 16


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_hop_that_is_lost_mid_sentence_changes_no_token(
    start_provider: Any, local_generator: Any, blow: signal.Signals
) -> None:
    first = start_provider("0:15")
    replicas = [start_provider("15:30", peer=first.address) for _ in range(2)]
    sampling = Sampling(max_new_tokens=N_TOKENS, greedy=True)
    ids = local_generator.encode("Describe a storm at sea.", chat_template=True)
    shown_s: list[float] = []

    with (
        swarm_generator(Settings(model="smollm2-135m", peer=(first.address,))) as swarm,
        swarm.model.inference_session(len(ids) + N_TOKENS) as session,
    ):

        def strike(piece: str) -> None:
            shown_s.append(time.monotonic())
            if len(shown_s) == HIT_AFTER:
                in_use = route_of(session)[1]["peer_id"]
                os.kill(next(replica.pid for replica in replicas if replica.peer_id == in_use), blow)

        answer = swarm.generate(ids, sampling, strike, session=session)
        route = route_of(session)
    assert answer.token_ids == local_generator.generate(ids, sampling, show_nothing).token_ids
    assert [hop["span"] for hop in route] == [[0, 15], [15, 30]]
    gaps_s = [after - before for before, after in pairwise(shown_s[HIT_AFTER - 1 :])]
    assert max(gaps_s) <= GAP_MAX_S


def test_without_a_replica_the_missing_blocks_are_named(start_provider: Any, local_generator: Any) -> None:
    from compute.errors import NoRoute
    from compute.types import Span

    first = start_provider("0:15")
    second = start_provider("15:30", peer=first.address)
    ids = local_generator.encode("Hello", chat_template=True)
    with swarm_generator(Settings(model="smollm2-135m", peer=(first.address,))) as swarm:
        shown: list[str] = []

        def strike(piece: str) -> None:
            if not shown:
                os.kill(second.pid, signal.SIGKILL)
            shown.append(piece)

        with (
            swarm.model.inference_session(len(ids) + N_TOKENS) as session,
            pytest.raises(NoRoute, match="15:30") as caught,
        ):
            swarm.generate(ids, Sampling(max_new_tokens=N_TOKENS, greedy=True), strike, session=session)
    assert caught.value.missing == (Span(15, 30),)
