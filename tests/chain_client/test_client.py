"""The client against the real chain: calls, queries, refusals, nonces, waiting, and connections that break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import nacl.signing
import pytest

from chain_client import calls, pallet_errors, pallet_events
from chain_client.account import Account
from chain_client.binding import bind
from chain_client.client import ChainClient
from chain_client.connection import ConnectionOptions
from chain_client.devchain.service import DevChain
from chain_client.errors import (
    BadArgument,
    CannotPayFee,
    DispatchFailed,
    NodeUnreachable,
    StatePruned,
    TransactionExpired,
    TransactionTimeout,
)
from chain_client.events import ChainEvent
from chain_client.transactions import Sent, Until
from chain_client.types import PRZ, AccountId, ModelShape, Phase, RoleKind, RoleTerms

from .conftest import POLL_S, Cutter, StartChain

QUICK_ENDS = ConnectionOptions(timeout_s=5, attempts=2, backoff_s=0.01)
SHAPE = ModelShape(blocks=30, params_per_block=3_500_000, d_model=576)


class Node:
    def __init__(self, seed: bytes) -> None:
        self._key = nacl.signing.SigningKey(seed)
        self.public_key = bytes(self._key.verify_key)

    def sign(self, payload: bytes) -> bytes:
        return bytes(self._key.sign(payload).signature)


# --- Calls and what they did


async def test_a_transfer_moves_the_amount_and_costs_what_was_said(
    client: ChainClient, alice: Account, bob: Account
) -> None:
    call = calls.transfer(bob.account, 5 * PRZ)
    before = await client.query.funds(alice.account)
    fee = await client.fee(call, alice.account)
    done = await client.submit(call, alice)
    assert done.fee == fee > 0
    assert (await client.query.funds(alice.account)).free == before.free - 5 * PRZ - fee
    assert await client.query.block_number(done.block_hash) == done.block_number
    assert await client.query.block_hash(done.block_number) == done.block_hash
    names = [event.name for event in done.events]
    assert "Transfer" in names
    assert names[-1] == "ExtrinsicSuccess"


async def test_bonding_and_unbonding_show_in_every_answer(client: ChainClient, alice: Account) -> None:
    done = await client.submit(calls.bond(1, 100 * PRZ), alice, until=Until.FINAL)
    assert [event.data for event in done.events if event.pallet == "Peerz"] == [
        pallet_events.Bonded(alice.account, 1, 100 * PRZ)
    ]
    assert (await client.query.funds(alice.account)).reserved == 100 * PRZ
    await client.submit(calls.unbond(1, 30 * PRZ), alice)
    assert await client.query.bond(alice.account, 1) == (70 * PRZ, 30 * PRZ)
    record = await client.query.bond_record(alice.account, 1)
    parameters = await client.query.parameters()
    assert record.active == 70 * PRZ
    assert [(part.amount, part.unlock) for part in record.unbonding] == [(30 * PRZ, 1 + parameters.unbonding_epochs)]


async def test_a_provider_registers_with_a_binding_that_the_chain_accepts(client: ChainClient, alice: Account) -> None:
    node = Node(bytes([3]) * 32)
    await client.submit(calls.transfer(alice.account, PRZ), alice)  # the clock starts with the first block
    expiry = await client.query.now_ms() // 1_000 + 3_600
    binding = bind(alice, node, await client.query.genesis(), expiry)
    with pytest.raises(pallet_errors.NoNodeKey):
        await client.submit(calls.register_provider(), alice)
    await client.submit(calls.bind_node_key(binding), alice)
    await client.submit(calls.register_provider(), alice)
    assert await client.query.node_key_of(alice.account) == node.public_key
    record = await client.query.key_record(node.public_key)
    assert record is not None
    assert (record.account, record.expiry, record.burnt) == (alice.account, expiry, False)
    (index,) = await client.query.subjects_of(alice.account)
    subject = await client.query.subject(index)
    assert subject is not None
    assert (subject.account, subject.role) == (alice.account, 0)
    assert await client.query.subjects() == {index: subject}
    assert await client.query.slot_of(alice.account, 0) == index


async def test_a_forged_binding_is_refused_by_name(client: ChainClient, alice: Account, bob: Account) -> None:
    await client.submit(calls.transfer(bob.account, PRZ), alice)
    expiry = await client.query.now_ms() // 1_000 + 3_600
    stolen = bind(bob, Node(bytes([3]) * 32), await client.query.genesis(), expiry)
    with pytest.raises(pallet_errors.BadAccountSignature):
        await client.submit(calls.bind_node_key(stolen), alice)
    foreign = bind(alice, Node(bytes([3]) * 32), bytes(32), expiry)
    with pytest.raises(pallet_errors.BadAccountSignature):
        await client.submit(calls.bind_node_key(foreign), alice)


async def test_models_votes_and_roles_come_back_as_they_went_in(client: ChainClient, alice: Account) -> None:
    root = bytes([9]) * 32
    await client.submit(calls.register_model(root, SHAPE), alice)
    model = await client.query.model(root)
    assert model is not None
    assert (model.owner, model.shape) == (alice.account, SHAPE)
    assert await client.query.models_of(alice.account) == (root,)
    shares = {3: 1_000, 0: 6_000, 1: 2_000, 2: 1_000}
    await client.submit(calls.vote(shares, 50 * PRZ), alice)
    vote = await client.query.vote(alice.account)
    assert vote is not None
    assert (dict(vote.shares), vote.amount) == (shares, 50 * PRZ)
    assert await client.query.votes() == {alice.account: vote}
    assert await client.query.vote_locked() == 50 * PRZ
    terms = RoleTerms(True, 0, 200_000, PRZ, 0)
    await client.submit(calls.as_root(calls.add_role("artists", RoleKind.MEMBER, terms)), alice)
    views = await client.query.role_views()
    assert (views[-1].name, views[-1].kind, views[-1].terms) == ("artists", RoleKind.MEMBER, terms)
    assert sum(view.weight for view in views) == 1_000_000


async def test_questions_about_one_block_agree(client: ChainClient, alice: Account, bob: Account) -> None:
    now = await client.query.at_one_block()
    before = await now.funds(bob.account)
    await client.submit(calls.transfer(bob.account, PRZ), alice)
    assert await now.funds(bob.account) == before
    assert (await client.query.funds(bob.account)).free == before.free + PRZ


async def test_the_clock_and_its_constants(client: ChainClient) -> None:
    epoch, review = await client.query.epoch()
    assert (epoch.index, epoch.phase) == (1, Phase.COMMIT)
    assert epoch == await client.query.current_epoch()
    assert review == await client.query.next_review()
    assert await client.query.constant("HistoryDepth") >= 2


# --- Refusals


async def test_refusals_are_typed_and_speak_with_the_pallets_words(client: ChainClient, alice: Account) -> None:
    with pytest.raises(pallet_errors.NothingToClaim, match="earned nothing in that epoch"):
        await client.submit(calls.claim(1, 1), alice)
    with pytest.raises(pallet_errors.VoteDoesNotSum) as caught:
        await client.submit(calls.vote({0: 1}, 50 * PRZ), alice)
    assert (caught.value.pallet, caught.value.name) == ("Peerz", "VoteDoesNotSum")
    with pytest.raises(DispatchFailed, match="no right"):
        await client.submit(calls.pause(), alice)
    with pytest.raises(pallet_errors.NotPaused):
        await client.submit(calls.as_root(calls.resume()), alice)
    with pytest.raises(DispatchFailed, match="more than there is"):
        await client.submit(calls.transfer(alice.account, 10**30), alice)


async def test_a_call_that_failed_costs_its_fee_and_its_nonce_only(
    client: ChainClient, alice: Account, bob: Account
) -> None:
    before = await client.query.funds(alice.account)
    fee = await client.fee(calls.claim(1, 1), alice.account)
    with pytest.raises(pallet_errors.NothingToClaim):
        await client.submit(calls.claim(1, 1), alice)
    assert (await client.query.funds(alice.account)).free == before.free - fee
    await client.submit(calls.transfer(bob.account, PRZ), alice)


async def test_an_account_without_funds_is_told_so(client: ChainClient, bob: Account) -> None:
    pauper = Account.from_seed(bytes([1]) * 32)
    with pytest.raises(CannotPayFee, match="send it some PRZ"):
        await client.submit(calls.transfer(bob.account, 1), pauper)


@pytest.mark.parametrize(
    "call",
    [
        calls.bond(-1, 1),
        calls.bond(256, 1),
        calls.bond(1, 2**128),
        calls.commit(bytes(31)),
        calls.transfer(AccountId(b"short"), 1),
        calls.Call("Peerz", "unheard_of", {}),
        calls.Call("Nowhere", "x", {}),
        calls.Call("Peerz", "bond", {"role": 1}),
    ],
)
async def test_values_that_no_call_can_carry_never_leave(client: ChainClient, alice: Account, call: calls.Call) -> None:
    with pytest.raises(BadArgument):
        await client.submit(call, alice)


# --- Nonces


async def test_many_submits_at_once_get_a_nonce_each(client: ChainClient, alice: Account, bob: Account) -> None:
    done = await asyncio.gather(*(client.submit(calls.transfer(bob.account, PRZ + n), alice) for n in range(16)))
    assert len({included.extrinsic_hash for included in done}) == 16
    sent = await asyncio.gather(*(client.send(calls.transfer(bob.account, PRZ + n), alice) for n in range(8)))
    assert sorted(one.nonce for one in sent) == list(range(16, 24))


async def test_two_programs_with_one_account_do_not_stop_each_other(
    start_chain: StartChain, alice: Account, bob: Account
) -> None:
    chain = await start_chain("interval:50ms")
    async with ChainClient(chain.url, poll_s=POLL_S) as one, ChainClient(chain.url, poll_s=POLL_S) as two:
        before = (await one.query.funds(bob.account)).free
        work = (each.submit(calls.transfer(bob.account, PRZ), alice) for each in [one, two] * 6)
        await asyncio.gather(*work)
        assert (await one.query.funds(bob.account)).free == before + 12 * PRZ


# --- Waiting


async def test_a_time_out_leaves_a_hash_that_can_be_waited_for_again(
    start_chain: StartChain, alice: Account, bob: Account
) -> None:
    chain = await start_chain("manual")
    async with ChainClient(chain.url, poll_s=POLL_S) as client:
        sent = await client.send(calls.transfer(bob.account, PRZ), alice)
        with pytest.raises(TransactionTimeout, match="may still get in") as caught:
            await client.wait(sent, timeout_s=0.2)
        assert caught.value.extrinsic_hash == sent.extrinsic_hash
        waiting = asyncio.create_task(client.wait(sent, Until.FINAL))
        await chain.on_chain(lambda backend: backend.seal(finalise=False))
        assert (await client.wait(sent)).block_number == 1
        assert not waiting.done()
        await chain.on_chain(lambda backend: backend.finalise(1))
        assert (await waiting).block_number == 1


async def test_what_no_block_held_in_its_life_is_reported_as_dead(start_chain: StartChain) -> None:
    chain = await start_chain("manual")
    async with ChainClient(chain.url, poll_s=POLL_S) as client:
        for _ in range(40):
            await chain.on_chain(lambda backend: backend.seal())
        with pytest.raises(TransactionExpired, match="submit it again"):
            await client.wait(Sent(bytes(32), 0, 1, 38), timeout_s=20)


# --- Events


async def test_events_come_in_order_and_go_on_where_one_stopped(
    client: ChainClient, alice: Account, bob: Account
) -> None:
    for n in range(5):
        await client.submit(calls.transfer(bob.account, PRZ + n), alice)
    all_of_them = [event async for event in _until_block(client.events(1), 5)]
    assert [event.block_number for event in all_of_them] == sorted(event.block_number for event in all_of_them)
    assert {event.block_number for event in all_of_them} == {1, 2, 3, 4, 5}
    later = [event async for event in _until_block(client.events(4), 5)]
    assert later == [event for event in all_of_them if event.block_number >= 4]


async def _until_block(events: AsyncIterator[ChainEvent], last: int) -> AsyncIterator[ChainEvent]:
    """The events up to the last one of block `last`: each block ends with that of its last extrinsic."""
    async for event in events:
        yield event
        if event.block_number == last and event.name == "ExtrinsicSuccess" and event.extrinsic == 1:
            return


async def test_events_start_with_the_next_block_unless_told_otherwise(
    client: ChainClient, alice: Account, bob: Account
) -> None:
    await client.submit(calls.transfer(bob.account, PRZ), alice)
    first = asyncio.create_task(anext(client.events()))
    await asyncio.sleep(5 * POLL_S)
    assert not first.done()
    await client.submit(calls.transfer(bob.account, PRZ), alice)
    assert (await first).block_number == 2


async def test_no_event_is_lost_while_connections_break(
    devchain: DevChain, client: ChainClient, cutter: Cutter, alice: Account, bob: Account
) -> None:
    async def transfers() -> None:
        for n in range(12):
            await client.submit(calls.transfer(bob.account, PRZ + n), alice)

    async def cuts() -> None:
        while True:
            cutter.cut()
            await asyncio.sleep(0.15)

    options = ConnectionOptions(timeout_s=5, attempts=50, backoff_s=0.01)
    async with ChainClient(cutter.url, options, poll_s=POLL_S) as watcher:
        working, cutting = asyncio.create_task(transfers()), asyncio.create_task(cuts())
        seen = [event async for event in _until_block(watcher.events(1), 12)]
        await working
        cutting.cancel()
    assert cutter.connections > 1
    assert seen == [event async for event in _until_block(client.events(1), 12)]


async def test_events_that_are_gone_are_an_error_and_not_a_gap(start_chain: StartChain) -> None:
    chain = await start_chain("manual", states_kept=4)
    async with ChainClient(chain.url, poll_s=POLL_S) as client:
        for _ in range(12):
            await chain.on_chain(lambda backend: backend.seal())
        with pytest.raises(StatePruned):
            await anext(client.events(1))


# --- Connections


async def test_reads_survive_a_broken_connection(client: ChainClient, cutter: Cutter, alice: Account) -> None:
    async with ChainClient(cutter.url, poll_s=POLL_S) as shaky:
        for _ in range(4):
            assert await shaky.query.funds(alice.account) == await client.query.funds(alice.account)
            cutter.cut()


async def test_a_call_whose_answer_was_lost_is_made_once(
    client: ChainClient, cutter: Cutter, alice: Account, bob: Account
) -> None:
    before = (await client.query.funds(bob.account)).free
    lost = iter((True, True))
    # A request of the submitting method is long: an extrinsic in it. Client frames are masked, so it cannot be read.
    cutter.swallow = lambda request: len(request) > 330 and next(lost, False)
    async with ChainClient(cutter.url, poll_s=POLL_S) as shaky:
        done = await shaky.submit(calls.transfer(bob.account, 7 * PRZ), alice)
        assert done.block_number >= 1
    assert cutter.connections >= 2
    assert (await client.query.funds(bob.account)).free == before + 7 * PRZ


async def test_nobody_at_the_address_is_said_in_one_sentence(unused_tcp_port: int) -> None:
    async with ChainClient(f"ws://127.0.0.1:{unused_tcp_port}", QUICK_ENDS) as client:
        with pytest.raises(NodeUnreachable, match="check --chain"):
            await client.query.head()


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9944", "ws://", "file:///etc/passwd", "127.0.0.1:9944"])
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(BadArgument):
        ChainClient(url)


async def test_a_closed_client_says_so(devchain: DevChain) -> None:
    client = ChainClient(devchain.url, QUICK_ENDS)
    await client.close()
    with pytest.raises(NodeUnreachable, match="closed"):
        await client.query.head()


async def test_the_loop_goes_on_while_the_node_is_slow(client: ChainClient) -> None:
    """Questions run in another thread: a ticker on the loop never misses its time by long."""
    gaps: list[float] = []

    async def tick() -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(0.005)
            now = loop.time()
            gaps.append(now - last)
            last = now

    ticking = asyncio.create_task(tick())
    await asyncio.gather(*(client.query.parameters() for _ in range(10)))
    ticking.cancel()
    # The server of the test shares this loop: what it blocks is not the client's.
    assert len(gaps) > 10
    assert sorted(gaps)[len(gaps) // 2] < 0.1
