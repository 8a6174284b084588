"""Both stores keep the same promises; the file store also when it is killed, damaged or opened twice."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from devchain_tools import ALICE, BOB, UNIT, Clock, NewChain, nonce_of, transfer_call

from chain_client.devchain.chain import Chain
from chain_client.devchain.errors import StoreError
from chain_client.devchain.executor import Executor
from chain_client.devchain.header import Block, Header, aura_slot
from chain_client.devchain.runtime import Runtimes
from chain_client.devchain.scale import byte_vector
from chain_client.devchain.sqlite_store import SqliteStore
from chain_client.devchain.store import Changes, Commit, MemoryStore, Store, Stored

Reopen = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reopen]:
    """Gives the store; called again, the same one as another process would find it."""
    if request.param == "memory":
        memory = MemoryStore()
        yield lambda: memory
        return
    last: list[SqliteStore] = []

    def again() -> Store:
        for store in last:
            store.close()
        last[:] = [SqliteStore(tmp_path / "chain" / "chain.sqlite")]
        return last[0]

    yield again
    last[0].close()


def _block(number: int, parent: bytes) -> Block:
    return Block(Header(parent, number, b"s" * 32, b"x" * 32, (aura_slot(number),)), (byte_vector(b"%d" % number),))


def _fill(store: Store, changes: list[Changes], undo_from: int = 0) -> list[Block]:
    blocks: list[Block] = []
    for number, written in enumerate(changes):
        block = _block(number, blocks[-1].header.hash if blocks else bytes(32))
        store.commit(Commit(block, written, {b"undo": b"%d" % number, b"gone": None}, max(number - 1, 0), undo_from))
        blocks.append(block)
    return blocks


def test_an_empty_store(reopen: Reopen) -> None:
    store = reopen()
    assert store.load() is None
    assert (store.hash_at(0), store.block(b"x" * 32), store.undo(0)) == (None, None, None)


def test_what_was_committed_is_there(reopen: Reopen) -> None:
    store = reopen()
    blocks = _fill(store, [{b"a": b"1", b"": b"empty key", b"b": b""}, {b"a": None, b"c": b"3"}, {b"b": b"2"}])
    for _ in range(2):
        assert store.load() == Stored(blocks[2], 1, {b"": b"empty key", b"b": b"2", b"c": b"3"})
        for number, block in enumerate(blocks):
            assert store.hash_at(number) == block.header.hash
            assert store.block(block.header.hash) == block
            assert store.undo(number) == {b"undo": b"%d" % number, b"gone": None}
        assert store.hash_at(3) is None
        assert store.hash_at(-1) is None
        store = reopen()
    store.finalise(2)
    loaded = reopen().load()
    assert loaded is not None
    assert loaded.finalised == 2


def test_undo_records_go(reopen: Reopen) -> None:
    store = reopen()
    _fill(store, [{b"a": b"1"}] * 4, undo_from=2)
    assert [store.undo(number) is None for number in range(4)] == [True, True, False, False]


def test_a_commit_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "chain.sqlite")
    blocks = _fill(store, [{b"a": b"1"}, {b"a": b"2"}])
    before = store.load()
    with pytest.raises(StoreError):
        store.commit(Commit(_block(1, b"p" * 32), {b"a": b"forked"}, {}, 1, 0))
    with pytest.raises(StoreError):
        store.commit(Commit(_block(2, blocks[1].header.hash), {b"a": b"3", b"b": object()}, {}, 2, 0))  # type: ignore[dict-item]
    assert store.load() == before
    assert store.hash_at(2) is None
    store.close()


def test_the_file_is_private_and_for_one_process(tmp_path: Path) -> None:
    file = tmp_path / "new" / "chain.sqlite"
    store = SqliteStore(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(StoreError, match="another process"):
        SqliteStore(file)
    store.close()
    SqliteStore(file).close()


def test_another_file_is_not_touched(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("dear diary" * 1000)
    with pytest.raises(StoreError, match="damaged"):
        SqliteStore(text)
    assert text.read_text().startswith("dear diary")
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE diary (text)")
    db.close()
    with pytest.raises(StoreError, match="no chain"):
        SqliteStore(other)
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE block SET data = x'00'",
        "UPDATE block SET data = zeroblob(length(data))",
        "UPDATE block SET hash = zeroblob(32)",
        "UPDATE block SET data = 7",
        "UPDATE state SET value = 7",
        "UPDATE final SET number = 9",
        "UPDATE final SET number = 'x'",
        "DELETE FROM final",
        "DROP TABLE state",
    ],
)
def test_damage_is_an_error_that_says_so(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "chain.sqlite"
    store = SqliteStore(file)
    _fill(store, [{b"a": b"1"}])
    store.close()
    with sqlite3.connect(file) as db:
        db.execute(damage)
    db.close()
    store = SqliteStore(file)
    with pytest.raises(StoreError, match=r"chain\.sqlite"):
        store.load()
    store.close()


def test_flipped_bytes_never_give_another_chain(tmp_path: Path, new_chain: NewChain) -> None:
    """Wherever a byte is wrong, opening raises `StoreError` or the chain is the one that was written."""
    file = tmp_path / "chain.sqlite"
    store = SqliteStore(file)
    head = new_chain(store).head
    store.close()
    good = file.read_bytes()
    draw = random.Random(7)
    for _ in range(20):
        at = draw.randrange(len(good))
        file.write_bytes(good[:at] + bytes([good[at] ^ 1 << draw.randrange(8)]) + good[at + 1 :])
        try:
            store = SqliteStore(file)
        except StoreError:
            continue
        try:
            assert new_chain(store).head == head
        except StoreError:
            pass
        finally:
            store.close()


_WRITER = """
import sys
from pathlib import Path
from itertools import count
sys.path.insert(0, sys.argv[1])
from devchain_tools import ALICE, BOB, UNIT, transfer_call
from chain_client.devchain.author import Author
from chain_client.devchain.chain import Chain
from chain_client.devchain.executor import Executor
from chain_client.devchain.runtime import RUNTIME_FILE, Runtimes
from chain_client.devchain.sqlite_store import SqliteStore

runtimes = Runtimes(lambda code: Executor(code, Path(sys.argv[3])))
chain = Chain.create(SqliteStore(Path(sys.argv[2])), runtimes, lambda: 10**12, RUNTIME_FILE.read_bytes())
author = Author(chain)
for nonce in count(author.next_nonce(ALICE.public)):
    author.submit(ALICE.sign(chain, transfer_call(BOB.public, UNIT), nonce))
    author.seal()
    print(chain.head.number, chain.head.hash.hex(), nonce, flush=True)
"""


@pytest.mark.slow
def test_killed_while_transactions_flow(tmp_path: Path) -> None:
    """Every block that the writer reported before SIGKILL is there, whole, final, and the chain goes on from it."""
    file, cache = tmp_path / "chain.sqlite", tmp_path / "compiled"
    runtimes = Runtimes(lambda code: Executor(code, cache))
    draw = random.Random(1)
    reported: dict[int, str] = {}
    last_nonce = -1
    for _ in range(8):
        arguments = [sys.executable, "-c", _WRITER, str(Path(__file__).parent), str(file), str(cache)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                number, block_hash, nonce = line.split()
                reported[int(number)], last_nonce = block_hash, int(nonce)
                if draw.random() < 0.2:
                    break
            # Somewhere in the making or committing of the next block.
            time.sleep(draw.random() * 0.02)
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:
                number, block_hash, nonce = line.split()
                reported[int(number)], last_nonce = block_hash, int(nonce)
        store = SqliteStore(file)
        chain = Chain(store, runtimes, Clock())
        assert chain.finalised_number == chain.head.number >= max(reported)
        for known, block_hash in reported.items():
            found = chain.hash_at(known)
            assert found is not None
            assert found.hex() == block_hash
            assert chain.block(found).header.number == known
        assert nonce_of(chain.state_at(chain.head.hash), ALICE.public) >= last_nonce + 1
        chain.execute_block(chain.head.hash)
        store.close()
    assert len(reported) > 8


def test_a_chain_in_a_file_is_the_chain_in_memory(tmp_path: Path, new_chain: NewChain) -> None:
    store = SqliteStore(tmp_path / "chain.sqlite")
    memory, stored = new_chain(), new_chain(store)
    for nonce in range(3):
        transfers = [ALICE.sign(memory, transfer_call(BOB.public, UNIT), nonce)]
        assert memory.author(transfers).block.header.slot == stored.author(transfers).block.header.slot
    assert memory.head == stored.head
    assert stored.state_at(stored.genesis_hash).root() == stored.block(stored.genesis_hash).header.state_root
    store.close()
