"""Calls that lean on the host: nested storage transactions, prefix removal, raw writes; every block is replayed."""

from devchain_tools import (
    ALICE,
    BOB,
    CHARLIE,
    UNIT,
    account_key,
    free_of,
    nonce_of,
    remark_call,
    sudo_call,
    transfer_call,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain_client.devchain.chain import Chain
from chain_client.devchain.scale import byte_vector, sequence

_TOO_MUCH = 10**30


def _batch(kind: int, calls: list[bytes]) -> bytes:
    """`Utility`: 0 `batch` stops at the first failure, 2 `batch_all` undoes everything, 4 `force_batch` goes on."""
    return bytes((20, kind)) + sequence(calls)


def _run(chain: Chain, *calls: bytes) -> None:
    """One block with these calls, each signed by Alice; replayed."""
    nonce = nonce_of(chain.state_at(chain.head.hash), ALICE.public)
    authored = chain.author([ALICE.sign(chain, call, nonce + index) for index, call in enumerate(calls)])
    assert len(authored.applied) == len(calls)
    chain.execute_block(chain.head.hash)


def _gained(chain: Chain, account: bytes) -> int:
    """What `account` has more than in genesis, in whole units."""
    now, then = (free_of(chain.state_at(at), account) for at in (chain.head.hash, chain.genesis_hash))
    return (now - then) // UNIT


def test_nested_transactions_of_the_runtime(chain: Chain) -> None:
    good, bad = transfer_call(BOB.public, UNIT), transfer_call(BOB.public, _TOO_MUCH)
    _run(chain, _batch(2, [good, good, bad]))
    assert _gained(chain, BOB.public) == 0
    _run(chain, _batch(0, [good, bad, good]))
    assert _gained(chain, BOB.public) == 1
    _run(chain, _batch(4, [good, bad, good]))
    assert _gained(chain, BOB.public) == 3
    # Undone inside of what is kept inside of what is undone, and the other way round.
    _run(chain, _batch(2, [_batch(4, [good, _batch(2, [good, bad])]), good]))
    assert _gained(chain, BOB.public) == 5
    _run(chain, _batch(4, [_batch(2, [_batch(4, [good, bad]), bad]), good]))
    assert _gained(chain, BOB.public) == 6


def _set_storage(items: dict[bytes, bytes]) -> bytes:
    return sudo_call(b"\0\4" + sequence(byte_vector(key) + byte_vector(value) for key, value in items.items()))


def test_raw_storage_writes(chain: Chain) -> None:
    keys = {b"test:%d" % index: bytes([index]) * index for index in range(1, 60)}
    _run(chain, _set_storage(keys))
    state = chain.state_at(chain.head.hash)
    assert dict(state.items(b"test:")) == keys
    # Kill some, then the prefix: those killed in the same block are no keys of the state, but of the one before.
    _run(
        chain,
        sudo_call(b"\0\5" + sequence([byte_vector(b"test:1"), byte_vector(b"test:2")])),
        _set_storage({b"test:new": b"x"}),
        sudo_call(b"\0\6" + byte_vector(b"test:1") + (100).to_bytes(4, "little")),
    )
    state = chain.state_at(chain.head.hash)
    left = {key for key in keys if not key.startswith(b"test:1") and key != b"test:2"}
    assert {key for key, _ in state.items(b"test:")} == left | {b"test:new"}
    assert state.root() == chain.head.state_root


_CALLS = st.recursive(
    st.one_of(
        st.builds(
            transfer_call,
            st.sampled_from([BOB.public, CHARLIE.public, ALICE.public, bytes(32), b"\1" * 32]),
            st.sampled_from([0, 1, UNIT, 10**17, _TOO_MUCH]),
        ),
        st.builds(remark_call, st.binary(max_size=40)),
        st.builds(
            _set_storage, st.dictionaries(st.sampled_from([b"test:a", b"test:ab", b"test:b"]), st.binary(max_size=40))
        ),
        st.sampled_from([b"test:", b"test:a"]).map(
            lambda prefix: sudo_call(b"\0\6" + byte_vector(prefix) + (2).to_bytes(4, "little"))
        ),
        st.just(b"\x0a\4\0" + BOB.public + b"\1"),  # transfer_all, kept alive
    ),
    lambda calls: st.builds(_batch, st.sampled_from([0, 2, 4]), st.lists(calls, max_size=4)),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_CALLS, min_size=1, max_size=4))
def test_any_block_holds(chain: Chain, calls: list[bytes]) -> None:
    """The chain grows over the examples; what the runtime refuses for lack of money is part of it."""
    state = chain.state_at(chain.head.hash)
    nonce = nonce_of(state, ALICE.public)
    authored = chain.author([ALICE.sign(chain, call, nonce + index) for index, call in enumerate(calls)])
    chain.execute_block(chain.head.hash)
    after = chain.state_at(chain.head.hash)
    assert after.root() == chain.head.state_root
    assert nonce_of(after, ALICE.public) == nonce + len(authored.applied)
    assert after.get(account_key(ALICE.public)) is not None
