"""Records through a real DHT on loopback, honest and otherwise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from hivemind.dht.node import DHTID
from hivemind.utils import MSGPackSerializer, get_dht_time

from compute.identity import NO_CHAIN, NodeKey
from compute.swarm.directory import Directory
from compute.swarm.network import SwarmNetwork
from compute.swarm.records import RECORD_BYTES_MAX, TTL_S, PeerState, ProviderRecord, seal_record
from compute.swarm.validator import INDEX_KEY, RecordValidator, drop_one_by_one, model_key
from compute.types import Span
from compute.wire import peerz_pb2 as pb

ROOT = b"r" * 32
Join = Callable[..., Awaitable[SwarmNetwork]]
MakeRecord = Callable[..., ProviderRecord]


async def test_a_client_sees_what_providers_publish(join: Join, record: MakeRecord) -> None:
    keys = [NodeKey.generate(), NodeKey.generate()]
    nodes = [await join(key) for key in keys]
    assert [node.peer_id for node in nodes] == [key.peer_id for key in keys]
    client = await join(client=True)
    for key, node, span in zip(keys, nodes, (Span(0, 6), Span(6, 12)), strict=True):
        await Directory(node).publish(record(key, span), key)
    found = await Directory(client).fetch(ROOT)
    assert {r.peer_id: r.span for r in found} == {keys[0].peer_id: Span(0, 6), keys[1].peer_id: Span(6, 12)}
    assert len(await Directory(client).models()) == 2
    assert await Directory(client).fetch(b"x" * 32) == ()


async def test_who_leaves_is_seen_to_leave(join: Join, record: MakeRecord) -> None:
    key = NodeKey.generate()
    node, client = await join(key), await join(client=True)
    mine = record(key, Span(0, 12))
    await Directory(node).publish(mine, key)
    await Directory(node).withdraw(mine, key)
    (found,) = await Directory(client).fetch(ROOT)
    assert found.state is PeerState.LEAVING


async def test_a_forged_record_is_stored_by_nobody(join: Join, record: MakeRecord) -> None:
    victim, liar = NodeKey.generate(), NodeKey.generate()
    node, attacker, client = await join(victim), await join(liar), await join(client=True)
    await Directory(node).publish(record(victim, Span(0, 6)), victim)
    honest = pb.SignedRecord.FromString(seal_record(record(victim, Span(0, 12)), victim))
    forged = pb.SignedRecord(record=honest.record, signature=liar.sign(honest.record)).SerializeToString()
    expiry = get_dht_time() + 40
    key = model_key(ROOT)
    # The attacker's own node does not check what it sends.
    attacker.dht.protocol.record_validator = None
    await attacker.dht.store(key, forged, expiry, subkey=victim.peer_id)
    grafted = seal_record(record(liar, Span(0, 12)), liar)
    await attacker.dht.store(key, grafted, expiry, subkey=victim.peer_id)
    assert [r.span for r in await Directory(client).fetch(ROOT)] == [Span(0, 6)]
    assert [r.span for r in await Directory(node).fetch(ROOT)] == [Span(0, 6)]


async def test_stale_foreign_and_misplaced_records_are_refused(join: Join, record: MakeRecord) -> None:
    key = NodeKey.generate()
    node = await join(NodeKey.generate())
    await join(key)
    now_s = get_dht_time()
    stale = seal_record(record(key, Span(0, 12), expires_at_ms=round((now_s - 1) * 1000)), key)
    foreign = seal_record(record(key, Span(0, 12), network_id=b"n" * 32), key)
    good = seal_record(record(key, Span(0, 12)), key)
    place = model_key(ROOT)
    assert not await node.dht.store(place, stale, now_s + 40, subkey=key.peer_id)
    assert not await node.dht.store(place, foreign, now_s + 40, subkey=key.peer_id)
    assert not await node.dht.store(model_key(b"x" * 32), good, now_s + 40, subkey=key.peer_id)
    assert not await node.dht.store(place, good, now_s + 400, subkey=key.peer_id)
    assert not await node.dht.store(place, b"junk", now_s + 40, subkey=key.peer_id)
    assert not await node.dht.store(place, good, now_s + 40)
    assert await node.dht.store(INDEX_KEY, good, now_s + 40, subkey=key.peer_id)


async def test_a_provider_that_comes_later_is_seen_at_the_next_look(join: Join, record: MakeRecord) -> None:
    """The reader must not be served what it remembers of an earlier look."""
    early, late = NodeKey.generate(), NodeKey.generate()
    first, second, client = await join(early), await join(late), await join(client=True)
    await Directory(first).publish(record(early, Span(0, 6)), early)
    assert len(await Directory(client).fetch(ROOT)) == 1
    await Directory(second).publish(record(late, Span(6, 12)), late)
    assert {r.peer_id for r in await Directory(client).fetch(ROOT)} == {early.peer_id, late.peer_id}
    assert {r.peer_id for r in await Directory(client).models()} == {early.peer_id, late.peer_id}


@pytest.mark.parametrize("ahead_s", [-20.0, 20.0], ids=["the reader is behind", "the reader is ahead"])
async def test_readers_whose_clock_is_off_still_see_the_rest(join: Join, record: MakeRecord, ahead_s: float) -> None:
    """The node keeps what is good by its own clock; a reader drops what it must, one by one."""
    lasting, edge = NodeKey.generate(), NodeKey.generate()
    node, client = await join(lasting), await join(client=True)
    drop_one_by_one(client.dht.protocol, RecordValidator(NO_CHAIN, clock=lambda: get_dht_time() + ahead_s))
    await Directory(node).publish(record(lasting, Span(0, 6)), lasting)
    expires_at_s = get_dht_time() + (10 if ahead_s > 0 else TTL_S + 20)  # expired, or living too long, for the reader
    await Directory(node).publish(record(edge, Span(6, 12), expires_at_ms=round(expires_at_s * 1000)), edge)
    assert len(await Directory(node).fetch(ROOT)) == 2
    assert [r.peer_id for r in await Directory(client).fetch(ROOT)] == [lasting.peer_id]


def lies(record: MakeRecord, victim: NodeKey, liar: NodeKey) -> dict[str, tuple[str, object]]:
    """What a peer might hold under a model's key: the subkey, and the value."""
    span = Span(0, 12)
    honest = pb.SignedRecord.FromString(seal_record(record(victim, span), victim))
    forged = pb.SignedRecord(record=honest.record, signature=liar.sign(honest.record)).SerializeToString()
    stale = seal_record(record(liar, span, expires_at_ms=round((get_dht_time() - 1) * 1000)), liar)
    immortal = seal_record(record(liar, span, expires_at_ms=round((get_dht_time() + 4000) * 1000)), liar)
    return {
        "forged": (victim.peer_id, forged),
        "under another's name": (victim.peer_id, seal_record(record(liar, span), liar)),
        "expired": (liar.peer_id, stale),
        "for too long": (liar.peer_id, immortal),
        "of another network": (liar.peer_id, seal_record(record(liar, span, network_id=b"n" * 32), liar)),
        "of another model": (liar.peer_id, seal_record(record(liar, span, model_root=b"x" * 32), liar)),
        "oversize": (liar.peer_id, seal_record(record(liar, span, binding=b"x" * RECORD_BYTES_MAX), liar)),
        "garbage": (liar.peer_id, b"\xff" * 100),
        "no bytes": (liar.peer_id, ["a", "list"]),
    }


@pytest.mark.parametrize(
    "lie",
    [
        "forged",
        "under another's name",
        "expired",
        "for too long",
        "of another network",
        "of another model",
        "oversize",
        "garbage",
        "no bytes",
    ],
)
async def test_what_a_lying_node_holds_is_dropped_by_its_readers(join: Join, record: MakeRecord, lie: str) -> None:
    victim, liar = NodeKey.generate(), NodeKey.generate()
    attacker = await join(liar)  # the only node that holds anything, and the one that everybody joins through
    attacker.dht.protocol.record_validator = None
    subkey, value = lies(record, victim, liar)[lie]
    key = DHTID.generate(source=model_key(ROOT))
    packed = MSGPackSerializer.dumps(value)
    attacker.dht.protocol.storage.store(key, packed, get_dht_time() + 40, subkey=subkey)

    gullible = await join(client=True)
    gullible.dht.protocol._validate_dictionary = lambda key, answer: True
    found = await gullible.dht.get(model_key(ROOT), latest=True)
    assert found is not None  # it does pass its lie on
    assert found.value[subkey].value == value
    assert await Directory(gullible).fetch(ROOT) == ()  # dropped by the directory alone

    client = await join(client=True)
    assert await Directory(client).fetch(ROOT) == ()

    # The same way in, with nothing wrong: it is believed, and the lie beside it does not hide it.
    other = NodeKey.generate()
    honest = record(other, Span(0, 12))
    truth = MSGPackSerializer.dumps(seal_record(honest, other))
    attacker.dht.protocol.storage.store(key, truth, get_dht_time() + 40, subkey=other.peer_id)
    assert await Directory(client).fetch(ROOT) == (honest,)


async def test_a_store_of_lies_is_refused_by_an_honest_node(join: Join, record: MakeRecord) -> None:
    victim, liar = NodeKey.generate(), NodeKey.generate()
    honest, attacker = await join(victim), await join(liar, client=True)
    attacker.dht.protocol.record_validator = None
    for lie, (subkey, value) in lies(record, victim, liar).items():
        assert not await attacker.dht.store(model_key(ROOT), value, get_dht_time() + 40, subkey=subkey), lie
    assert honest.dht.protocol.storage.get(DHTID.generate(source=model_key(ROOT))) is None
    assert await attacker.dht.store(
        model_key(ROOT), seal_record(record(liar, Span(0, 3)), liar), get_dht_time() + 40, subkey=liar.peer_id
    )
