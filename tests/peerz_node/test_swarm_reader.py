"""What `status` makes of records that anybody may have written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from compute.errors import LinkLost, PeerUnreachable, UnknownModel
from compute.identity import NO_CHAIN, NodeKey
from compute.swarm.records import PeerState, ProviderRecord
from compute.types import PeerId, Span
from peerz_node.swarm_reader import AT_ONCE, ModelFacts, chosen, grouped, model_view, round_trips

ROOT, OTHER_ROOT = b"a" * 32, b"b" * 32


def record(number: int, span: Span, **changes: Any) -> ProviderRecord:
    fields: dict[str, Any] = {
        "public_key": NodeKey(number.to_bytes(32)).public_key,
        "network_id": NO_CHAIN,
        "model_root": ROOT,
        "model_name": "tiny",
        "span": span,
        "n_blocks": 10,
        "state": PeerState.ONLINE,
        "expires_at_ms": 1,
        "decode_us": 1000,
        "prefill_tokens_s": 1000,
        "cache_bytes_free": 1 << 30,
        **changes,
    }
    return ProviderRecord(**fields)


def test_models_of_one_swarm_are_groups_by_name() -> None:
    records = [
        record(1, Span(0, 5)),
        record(2, Span(0, 4), model_root=OTHER_ROOT, model_name="another", n_blocks=4),
        record(3, Span(5, 10)),
    ]
    assert [(facts, [r.span for r in group]) for facts, group in grouped(records)] == [
        (ModelFacts("another", OTHER_ROOT, 4), [Span(0, 4)]),
        (ModelFacts("tiny", ROOT, 10), [Span(0, 5), Span(5, 10)]),
    ]


@pytest.mark.parametrize("odd_first", [True, False])
def test_one_odd_record_does_not_decide_what_a_model_is(odd_first: bool) -> None:
    odd = record(1, Span(0, 99), model_name="zzz", n_blocks=99)
    good = [record(2, Span(0, 5)), record(3, Span(5, 10))]
    ((facts, members),) = grouped([odd, *good] if odd_first else [*good, odd])
    assert facts == ModelFacts("tiny", ROOT, 10)
    assert members == good


def test_the_model_of_this_machine_decides_by_its_files() -> None:
    groups = grouped([record(n, Span(0, 7), n_blocks=7) for n in range(1, 4)] + [record(4, Span(0, 5))])
    here = ModelFacts("tiny", ROOT, 10)
    assert chosen(groups, "tiny", here) == [(here, [])]  # most records are of some other size: not of our model
    assert chosen([], "tiny", here) == [(here, [])]


def test_a_model_that_is_here_comes_first_and_others_of_its_name_behind() -> None:
    groups = grouped([record(1, Span(0, 5), model_root=OTHER_ROOT), record(2, Span(0, 4), model_name="another")])
    here = ModelFacts("tiny", b"c" * 32, 10)
    assert [facts for facts, _ in chosen(groups, "tiny", here)] == [here, ModelFacts("tiny", OTHER_ROOT, 10)]


def test_a_model_that_is_not_here_is_found_by_its_name() -> None:
    groups = grouped([record(1, Span(0, 5)), record(2, Span(0, 4), model_root=OTHER_ROOT, model_name="another")])
    assert [facts.name for facts, _ in chosen(groups, "another", None)] == ["another"]
    assert chosen(groups, None, None) == groups
    with pytest.raises(UnknownModel, match=r"'none' .* nobody serves it; this swarm serves another, tiny"):
        chosen(groups, "none", None)
    with pytest.raises(UnknownModel, match="serves nothing"):
        chosen([], "none", None)


def test_a_view_counts_who_is_online_and_plans_a_route() -> None:
    records = [record(1, Span(0, 6)), record(2, Span(4, 10)), record(3, Span(0, 10), state=PeerState.LEAVING)]
    view = model_view(ModelFacts("tiny", ROOT, 10), records, {records[0].peer_id: 0.002}, with_route=True)
    assert view.replicas == (1, 1, 1, 1, 2, 2, 1, 1, 1, 1)
    assert view.missing == ()
    assert [p.rtt_ms for p in view.providers] == [2.0, None, None]
    assert view.route is not None
    assert [hop.peer for hop in view.route] == [records[0].peer_id, records[1].peer_id]
    assert view.route_ms == pytest.approx(sum(hop.token_ms for hop in view.route))


def test_a_view_of_a_gap_names_it_and_has_no_route() -> None:
    view = model_view(ModelFacts("tiny", ROOT, 10), [record(1, Span(0, 4))], {}, with_route=True)
    assert (view.missing, view.route, view.route_ms) == ((Span(4, 10),), (), None)
    nobody = model_view(ModelFacts("tiny", ROOT, 10), [], {}, with_route=False)
    assert (nobody.missing, nobody.route) == ((Span(0, 10),), None)


async def test_few_providers_are_asked_at_once_and_silent_ones_left_out() -> None:
    records = [record(n, Span(0, 10)) for n in range(1, 4 * AT_ONCE)]
    silent, closed = records[3].peer_id, records[5].peer_id
    busy: set[PeerId] = set()
    most = 0

    async def connect(peer: PeerId, addresses: tuple[str, ...]) -> None:
        nonlocal most
        busy.add(peer)
        most = max(most, len(busy))
        await asyncio.sleep(0)
        if peer == closed:
            busy.discard(peer)
            raise PeerUnreachable("not there")

    async def ping(peer: PeerId) -> float:
        await asyncio.sleep(0)
        busy.discard(peer)
        if peer == silent:
            raise LinkLost("nothing came back")
        return 0.25

    rtt_s = await round_trips(records, connect, ping)
    assert rtt_s == {r.peer_id: 0.25 for r in records if r.peer_id not in (silent, closed)}
    assert 1 < most <= AT_ONCE


async def test_whoever_is_not_reached_in_time_is_left_out() -> None:
    first, second = record(1, Span(0, 10)), record(2, Span(0, 10))

    async def connect(peer: PeerId, addresses: tuple[str, ...]) -> None:
        if peer == second.peer_id:
            await asyncio.Event().wait()

    async def ping(peer: PeerId) -> float:
        return 0.5

    assert await round_trips([first, second], connect, ping, patience_s=0.05) == {first.peer_id: 0.5}
