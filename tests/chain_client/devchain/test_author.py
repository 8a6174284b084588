"""Submitting real transactions and sealing blocks of them."""

import pytest
from devchain_tools import (
    ALICE,
    BOB,
    CHARLIE,
    UNIT,
    Account,
    Clock,
    free_of,
    kill_storage_call,
    nonce_of,
    remark_call,
    sudo_call,
    transfer_call,
)

from chain_client.devchain.author import BLOCK_TRANSACTIONS_MAX, Author
from chain_client.devchain.chain import Chain
from chain_client.devchain.errors import (
    AlreadyImported,
    BadFormat,
    InvalidTransaction,
    PoolError,
    RuntimeTrapped,
    TemporarilyBanned,
    TooLowPriority,
    VerificationFailed,
)
from chain_client.devchain.hashing import blake2_256, twox_128
from chain_client.devchain.pool import PoolEvent, Status
from chain_client.devchain.scale import byte_vector
from chain_client.devchain.validity import ValidTransaction


@pytest.fixture
def told() -> list[PoolEvent]:
    return []


@pytest.fixture
def author(chain: Chain, told: list[PoolEvent]) -> Author:
    return Author(chain, tell=told.append)


def _transfer(author: Author, nonce: int, tip: int = 0, sender: Account = ALICE) -> bytes:
    return sender.sign(author.chain, transfer_call(BOB.public, UNIT), nonce, tip)


def test_a_life_of_a_transaction(author: Author, told: list[PoolEvent]) -> None:
    key = author.submit(_transfer(author, 0))
    authored = author.seal()
    assert authored is not None
    block_hash = authored.block.header.hash
    assert [event for event in told if event.transaction_hash == key] == [
        PoolEvent(key, Status.READY),
        PoolEvent(key, Status.IN_BLOCK, block_hash),
        PoolEvent(key, Status.FINALISED, block_hash),
    ]
    author.chain.execute_block(block_hash)


def test_nonces_in_any_order(author: Author) -> None:
    for nonce in (2, 0, 3, 1):
        author.submit(_transfer(author, nonce))
    assert author.next_nonce(ALICE.public) == 4
    author.seal()
    state = author.chain.state_at(author.chain.head.hash)
    assert nonce_of(state, ALICE.public) == 4
    assert author.next_nonce(ALICE.public) == 4
    assert len(author.pool) == 0


def test_a_future_nonce_waits_over_blocks(author: Author, told: list[PoolEvent]) -> None:
    late = author.submit(_transfer(author, 1))
    assert told[-1] == PoolEvent(late, Status.FUTURE)
    assert author.seal(create_empty=False) is None
    author.seal()
    author.submit(_transfer(author, 0))
    author.seal()
    assert nonce_of(author.chain.state_at(author.chain.head.hash), ALICE.public) == 2


def test_tips_decide_the_order(author: Author) -> None:
    plain, tipped = _transfer(author, 0), BOB.sign(author.chain, remark_call(b"first"), 0, tip=UNIT)
    author.submit(plain)
    author.submit(tipped)
    authored = author.seal()
    assert authored is not None
    assert authored.block.extrinsics[-2:] == (tipped, plain)


def test_replacing_by_a_tip(author: Author, told: list[PoolEvent]) -> None:
    first = author.submit(_transfer(author, 0))
    with pytest.raises(TooLowPriority):
        author.submit(ALICE.sign(author.chain, transfer_call(BOB.public, 2 * UNIT), 0))
    better = author.submit(_transfer(author, 0, tip=UNIT))
    assert told[-1] == PoolEvent(first, Status.USURPED, better)


def test_what_cannot_be_valid_is_refused_with_its_code(author: Author) -> None:
    good = _transfer(author, 0)
    author.submit(good)
    forged = good[:70] + bytes([good[70] ^ 1]) + good[71:]
    refusals: dict[bytes, tuple[type[PoolError], int]] = {
        good: (AlreadyImported, 1013),
        forged: (InvalidTransaction, 1010),
        b"": (BadFormat, 1001),
        good + b"\0": (BadFormat, 1001),
        byte_vector(b"\x84rubbish"): (VerificationFailed, 1002),
        Account.of("//Nobody").sign(author.chain, transfer_call(BOB.public, 1), 0): (InvalidTransaction, 1010),
    }
    for transaction, (error, code) in refusals.items():
        with pytest.raises(error) as refused:
            author.submit(transaction)
        assert refused.value.code == code
    author.seal()
    with pytest.raises(InvalidTransaction, match="used already"):
        author.submit(_transfer(author, 0, tip=1))


def test_what_a_block_refuses_is_banned(author: Author, told: list[PoolEvent], clock: Clock) -> None:
    """Two transactions that are each valid alone, but one spends what the other needs for its fee."""
    everything = free_of(author.chain.state_at(author.chain.head.hash), CHARLIE.public)
    spend = CHARLIE.sign(author.chain, b"\x0a\4\0" + BOB.public + b"\0", 0, tip=UNIT)  # transfer_all, not kept alive
    after = CHARLIE.sign(author.chain, remark_call(b"no money left"), 1)
    assert everything > UNIT
    author.submit(spend)
    key = author.submit(after)
    author.seal()
    assert PoolEvent(key, Status.INVALID) in told
    with pytest.raises(TemporarilyBanned):
        author.submit(after)
    clock.now_ms += 31 * 60 * 1000
    with pytest.raises(InvalidTransaction):
        author.submit(after)


def test_a_transaction_that_breaks_the_end_of_a_block_does_not_stop_the_chain(
    author: Author, told: list[PoolEvent]
) -> None:
    # The runtime asserts at the end of each block that the time was set in it.
    time_was_set = twox_128(b"Timestamp") + twox_128(b"DidUpdate")
    breaks = ALICE.sign(author.chain, sudo_call(kill_storage_call(time_was_set)), 0, tip=UNIT)
    author.submit(breaks)
    for sender in (BOB, CHARLIE):
        author.submit(_transfer(author, 0, sender=sender))
    with pytest.raises(RuntimeTrapped):
        author.seal()
    assert told[-1] == PoolEvent(blake2_256(breaks), Status.INVALID)
    authored = author.seal()
    assert authored is not None
    assert len(authored.applied) == 2
    with pytest.raises(TemporarilyBanned):
        author.submit(breaks)


def test_blocks_are_bounded_and_the_rest_follows(author: Author) -> None:
    for nonce in range(BLOCK_TRANSACTIONS_MAX + 3):
        # Straight into the pool: validating so many takes longer than the test is worth.
        transaction = ALICE.sign(author.chain, remark_call(b""), nonce)
        tags = [ALICE.public + number.to_bytes(4, "little") for number in (nonce - 1, nonce) if number >= 0]
        author.pool.add(transaction, ValidTransaction(1, tuple(tags[:-1]), (tags[-1],), 64, True), 0)
    first, second = author.seal(), author.seal()
    assert first is not None
    assert second is not None
    assert (len(first.applied), len(second.applied)) == (BLOCK_TRANSACTIONS_MAX, 3)


def test_lagging_finality_is_told_for_every_block(author: Author, told: list[PoolEvent]) -> None:
    keys = []
    for nonce in range(3):
        keys.append(author.submit(_transfer(author, nonce)))
        author.seal(finalise=False)
    assert Status.FINALISED not in {event.status for event in told}
    author.finalise(2)
    final = [event.transaction_hash for event in told if event.status is Status.FINALISED]
    assert [key in final for key in keys] == [True, True, False]
    author.seal()
    assert PoolEvent(keys[2], Status.FINALISED, author.chain.hash_at(3) or b"") in told


def test_the_hash_of_a_transaction_is_that_of_its_bytes(author: Author) -> None:
    transaction = _transfer(author, 0)
    assert author.submit(transaction) == blake2_256(transaction)
    with pytest.raises(ValueError, match="32 bytes"):
        author.next_nonce(b"short")
