"""Blocks of the real runtime: each passes the runtime's own replay, refused transactions leave no trace."""

import json

import pytest
from devchain_tools import (
    ALICE,
    BOB,
    CHARLIE,
    START_MS,
    UNIT,
    Clock,
    NewChain,
    account_key,
    free_of,
    nonce_of,
    remark_call,
    sudo_call,
    transfer_call,
)

from chain_client.devchain.chain import Chain
from chain_client.devchain.code import unpacked
from chain_client.devchain.errors import (
    BadRuntime,
    BlockError,
    InvalidTransaction,
    RuntimeTrapped,
    StateUnavailable,
    StoreError,
)
from chain_client.devchain.genesis import CODE_KEY
from chain_client.devchain.hashing import twox_128
from chain_client.devchain.header import ENVIRONMENT_UPDATED, Block, Header
from chain_client.devchain.runtime import Runtimes
from chain_client.devchain.scale import byte_vector
from chain_client.devchain.store import MemoryStore
from chain_client.devchain.trie import Trie, ordered_root

_SLOT_MS = 6_000
_SYSTEM = twox_128(b"System")
_ACCOUNTS = _SYSTEM + twox_128(b"Account")
_TREASURY = b"modlpy/peerztreasury".ljust(32, b"\0")


def _check(chain: Chain) -> None:
    """Every block whose parent's state is kept passes `Core_execute_block`."""
    for number in range(1, chain.head.number + 1):
        block_hash = chain.hash_at(number)
        assert block_hash is not None
        chain.execute_block(block_hash)


def _different(one: Trie, other: Trie) -> set[bytes]:
    left, right = dict(one.items()), dict(other.items())
    return {key for key in left.keys() | right.keys() if left.get(key) != right.get(key)}


def test_genesis_is_the_preset_with_the_code(chain: Chain, code: bytes) -> None:
    assert chain.head.number == 0
    assert chain.head.hash == chain.genesis_hash == chain.finalised
    state = chain.state_at(chain.genesis_hash)
    assert state.get(CODE_KEY) == code
    assert free_of(state, ALICE.public) == free_of(state, BOB.public) > 0
    assert chain.head.state_root == Trie.of(dict(state.items())).root()


def test_genesis_can_be_changed_and_is_checked(new_chain: NewChain) -> None:
    endowed = new_chain(
        patch={"balances": {"balances": [["5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY", 7 * UNIT]]}}
    )
    assert free_of(endowed.state_at(endowed.head.hash), ALICE.public) == 7 * UNIT
    assert free_of(endowed.state_at(endowed.head.hash), BOB.public) == 0
    with pytest.raises(BlockError, match="refuses the genesis"):
        new_chain(patch={"balances": {"balances": "many"}})
    with pytest.raises(BlockError, match="development"):
        new_chain(preset="nowhere")


def test_blocks_hold(chain: Chain) -> None:
    chain.author()
    alice = [ALICE.sign(chain, transfer_call(BOB.public, UNIT), nonce) for nonce in range(3)]
    authored = chain.author([*alice, BOB.sign(chain, remark_call(b"hello"), 0)])
    assert [applied.error for _, applied in authored.applied] == [None] * 4
    chain.author()
    _check(chain)
    state = chain.state_at(chain.head.hash)
    assert (nonce_of(state, ALICE.public), nonce_of(state, BOB.public)) == (3, 1)
    assert authored.block.header.extrinsics_root == ordered_root(authored.block.extrinsics, 0)
    assert Block.decoded(authored.block.encoded()) == authored.block


def test_chain_time_is_that_of_the_clock_and_runs_ahead_when_blocks_are_faster(chain: Chain, clock: Clock) -> None:
    slots = [chain.author().block.header.slot or 0 for _ in range(3)]
    assert slots == [START_MS // _SLOT_MS + index for index in range(3)]
    now = chain.state_at(chain.head.hash).get(twox_128(b"Timestamp") + twox_128(b"Now"))
    assert now == (slots[-1] * _SLOT_MS).to_bytes(8, "little")
    clock.now_ms += 100 * _SLOT_MS
    assert chain.author().block.header.slot == START_MS // _SLOT_MS + 100
    chain.advance(50 * _SLOT_MS)
    assert chain.author().block.header.slot == START_MS // _SLOT_MS + 150
    with pytest.raises(ValueError, match="backwards"):
        chain.advance(-1)
    _check(chain)


def test_a_failed_extrinsic_leaves_no_trace_but_fee_and_nonce(new_chain: NewChain) -> None:
    empty, chain = new_chain(), new_chain()
    before = free_of(chain.state_at(chain.head.hash), ALICE.public)
    too_much = ALICE.sign(chain, transfer_call(BOB.public, 10 * before), 0)
    ((_, applied),) = chain.author([too_much]).applied
    assert applied.error is not None
    empty.author()
    state = chain.state_at(chain.head.hash)
    assert nonce_of(state, ALICE.public) == 1
    assert 0 < before - free_of(state, ALICE.public) < UNIT // 10
    outside_system = {key for key in _different(state, empty.state_at(empty.head.hash)) if not key.startswith(_SYSTEM)}
    # The fee goes where the runtime sends it, to the treasury and out of the issuance; the transfer moved nothing.
    assert all(key.startswith(twox_128(b"Balances") + twox_128(b"TotalIssuance")) for key in outside_system)
    changed = {key[-32:] for key in _different(state, empty.state_at(empty.head.hash)) if key.startswith(_ACCOUNTS)}
    assert changed - {_TREASURY} == {ALICE.public}
    _check(chain)


def test_refused_extrinsics_leave_no_trace_at_all(new_chain: NewChain) -> None:
    empty, chain = new_chain(), new_chain()
    good = ALICE.sign(chain, transfer_call(BOB.public, UNIT), 0)
    bad = {
        "signature": good[:60] + bytes([good[60] ^ 1]) + good[61:],
        "future": ALICE.sign(chain, transfer_call(BOB.public, UNIT), 7),
        "no money": CHARLIE.sign(chain, transfer_call(BOB.public, UNIT), 0, tip=1 << 100),
        "no call": byte_vector(b"\x84rubbish"),
        "no pallet": ALICE.sign(chain, b"\xee\0", 0),
        "empty": b"",
    }
    authored = chain.author(bad.values())
    empty.author()
    assert authored.applied == ()
    assert [transaction for transaction, _ in authored.refused] == list(bad.values())
    errors = [type(error) for _, error in authored.refused]
    assert errors == [InvalidTransaction] * 3 + [RuntimeTrapped] * 3
    assert chain.head == empty.head
    # The same block again, with a good one between the bad ones.
    authored = chain.author([bad["future"], bad["no call"], good, bad["signature"], good])
    assert [transaction for transaction, _ in authored.applied] == [good]
    assert len(authored.refused) == 4
    _check(chain)


def test_a_block_that_was_tampered_with_does_not_hold(new_chain: NewChain) -> None:
    author, other = new_chain(), new_chain()
    good = author.author([ALICE.sign(author, transfer_call(BOB.public, UNIT), 0)]).block
    header = good.header
    forged = [
        Block(Header(header.parent_hash, 1, b"x" * 32, header.extrinsics_root, header.digest), good.extrinsics),
        Block(Header(header.parent_hash, 1, header.state_root, b"x" * 32, header.digest), good.extrinsics),
        Block(header, good.extrinsics[:1]),
        Block(header, good.extrinsics[::-1]),
        Block(header, ()),
        Block(Header(header.parent_hash, 1, header.state_root, header.extrinsics_root, ()), good.extrinsics),
    ]
    for block in forged:
        with pytest.raises(BlockError):
            other.import_block(block)
        assert other.head.number == 0
    other.import_block(good)
    assert other.head == author.head
    assert other.state_at(other.head.hash).root() == header.state_root
    with pytest.raises(BlockError, match="does not follow"):
        other.import_block(good)


def test_a_full_block_leaves_the_rest(chain: Chain) -> None:
    long = [ALICE.sign(chain, remark_call(bytes(1 << 20)), nonce) for nonce in range(6)]
    authored = chain.author(long)
    assert 1 <= len(authored.applied) < 6
    assert authored.refused == ()
    assert [transaction for transaction, _ in authored.applied] == long[: len(authored.applied)]
    assert len(chain.author(long[len(authored.applied) :]).applied) > 0
    _check(chain)


def test_states_of_the_past_and_pruning(new_chain: NewChain) -> None:
    store = MemoryStore()
    chain = new_chain(store, states_kept=4)
    roots = []
    for nonce in range(8):
        authored = chain.author([ALICE.sign(chain, transfer_call(BOB.public, UNIT), nonce)])
        roots.append((authored.block.header.hash, authored.block.header.state_root))
    # The same from memory and, in another chain over the same store, from undo records.
    for reader in (chain, new_chain(store, states_kept=4)):
        for nonce, (block_hash, root) in list(enumerate(roots))[-4:]:
            state = reader.state_at(block_hash)
            assert state.root() == root
            assert nonce_of(state, ALICE.public) == nonce + 1
        for block_hash, _ in [(reader.genesis_hash, b""), *roots[:-4]]:
            with pytest.raises(StateUnavailable, match="pruned"):
                reader.state_at(block_hash)
            assert reader.block(block_hash).header.hash == block_hash
    with pytest.raises(StateUnavailable, match="no block"):
        chain.state_at(b"x" * 32)


def test_a_chain_goes_on_where_it_stopped(new_chain: NewChain) -> None:
    store = MemoryStore()
    first = new_chain(store)
    first.author([ALICE.sign(first, transfer_call(BOB.public, UNIT), 0)])
    first.author(finalise=False)
    second = new_chain(store)
    assert second.head == first.head
    assert (second.finalised_number, second.finalised) == (1, first.hash_at(1))
    second.author([ALICE.sign(second, transfer_call(BOB.public, UNIT), 1)])
    _check(second)


def test_a_damaged_state_is_found(new_chain: NewChain, runtimes: Runtimes, clock: Clock) -> None:
    store = MemoryStore()
    new_chain(store)
    store._entries[account_key(ALICE.public)] = bytes(80)
    with pytest.raises(StoreError, match="not that of block 0"):
        Chain(store, runtimes, clock)
    with pytest.raises(StoreError, match="no chain"):
        Chain(MemoryStore(), runtimes, clock)


def test_finality_may_lag(chain: Chain) -> None:
    for _ in range(3):
        chain.author(finalise=False)
    assert chain.finalised == chain.genesis_hash
    chain.finalise(2)
    chain.finalise(1)
    assert chain.finalised == chain.hash_at(2)
    with pytest.raises(BlockError, match="does not exist"):
        chain.finalise(4)


def test_calls_read_any_kept_state_and_change_none(chain: Chain) -> None:
    chain.author([ALICE.sign(chain, transfer_call(BOB.public, UNIT), 0)])
    nonce = "AccountNonceApi_account_nonce"
    assert chain.call(nonce, ALICE.public) == b"\1\0\0\0"
    assert chain.call(nonce, ALICE.public, chain.genesis_hash) == b"\0\0\0\0"
    root = chain.state_at(chain.head.hash).root()
    with pytest.raises(RuntimeTrapped):
        chain.call("BlockBuilder_apply_extrinsic", b"rubbish")
    chain.call("Core_initialize_block", Header(chain.head.hash, 2, bytes(32), bytes(32)).encoded())
    assert chain.state_at(chain.head.hash).root() == root


def _upgrade(code: bytes, call_index: int) -> bytes:
    """`Sudo.sudo(System.set_code…)`: 2 checks the version, 3 does not."""
    return sudo_call(bytes((0, call_index)) + byte_vector(code))


def test_a_runtime_upgrade_counts_from_the_next_block(chain: Chain, code: bytes) -> None:
    # The same runtime with a custom section behind: other code, other compiled module, same behaviour.
    other = unpacked(code) + b"\0\5\4note"
    upgrade = ALICE.sign(chain, _upgrade(other, 3), 0)
    authored = chain.author([upgrade, ALICE.sign(chain, transfer_call(BOB.public, UNIT), 1)])
    assert [applied.error for _, applied in authored.applied] == [None, None]
    assert any(item.kind == ENVIRONMENT_UPDATED for item in authored.block.header.digest)
    assert chain.state_at(chain.head.hash).get(CODE_KEY) == other
    before, after = chain.runtime_at(chain.genesis_hash), chain.runtime_at(chain.head.hash)
    assert before is not after
    assert before.version == after.version
    chain.author([ALICE.sign(chain, transfer_call(BOB.public, UNIT), 2)])
    _check(chain)


def test_an_upgrade_is_checked_by_the_runtime(chain: Chain, code: bytes) -> None:
    """The same version again, and what is no runtime at all: `set_code` refuses both, having asked the host."""
    for nonce, offered in enumerate((unpacked(code), b"\0asm\1\0\0\0", b"rubbish")):
        chain.author([ALICE.sign(chain, _upgrade(offered, 2), nonce)])
        assert chain.state_at(chain.head.hash).get(CODE_KEY) == code
    _check(chain)


def test_code_that_is_none_stops_the_chain_with_a_typed_error(chain: Chain) -> None:
    chain.author([ALICE.sign(chain, _upgrade(b"rubbish", 3), 0)])
    head = chain.head
    with pytest.raises(BadRuntime):
        chain.author()
    assert chain.head == head


def test_the_metadata_is_of_version_14(chain: Chain) -> None:
    metadata = chain.runtime_at(chain.head.hash).metadata
    assert metadata[:5] == b"meta\x0e"
    assert json.dumps(chain.runtime_at(chain.head.hash).preset_names()).startswith('["development"')
