"""The chain: blocks one upon the other, the states after the latest of them, time, upgrades and pruning.

Driven from outside: somebody says when to author and with which transactions. No thread, no socket, no own clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from chain_client.devchain.builder import BlockBuilder, Built, effective
from chain_client.devchain.errors import (
    BlockError,
    DevchainError,
    InvalidTransaction,
    PoolError,
    RuntimeFailure,
    StateUnavailable,
    StoreError,
)
from chain_client.devchain.genesis import CODE_KEY, Genesis, build_genesis
from chain_client.devchain.header import Block, Header
from chain_client.devchain.overlay import Overlay
from chain_client.devchain.runtime import Runtime, Runtimes
from chain_client.devchain.store import Changes, Commit, Store
from chain_client.devchain.trie import Trie
from chain_client.devchain.validity import EXHAUSTS_RESOURCES, Applied

STATES_KEPT = 256


@dataclass(frozen=True)
class Authored:
    """A new block and what became of the transactions that were offered for it, by position in the offer.

    Neither applied nor refused: not tried, because the block was full.
    """

    block: Block
    applied: tuple[tuple[bytes, Applied], ...]
    refused: tuple[tuple[bytes, DevchainError], ...]
    changes: Changes
    """What the block wrote to the state."""


class Chain:
    """A chain in `store`, which must hold one: see `create`.

    `clock` gives milliseconds since the epoch. The states of the last `states_kept` blocks can be read, older ones are
    pruned. Raises `StoreError` when the stored state is not the one that the head's header names.
    """

    def __init__(
        self, store: Store, runtimes: Runtimes, clock: Callable[[], int], states_kept: int = STATES_KEPT
    ) -> None:
        stored = store.load()
        genesis_hash = store.hash_at(0)
        if stored is None or genesis_hash is None:
            raise StoreError("the store holds no chain")
        if states_kept < 1:
            raise ValueError("at least the state of the head is kept")
        self._store = store
        self._runtimes = runtimes
        self._clock = clock
        self._states_kept = states_kept
        self._ahead_ms = 0
        self.genesis_hash = genesis_hash
        self._head = stored.head
        self._finalised = stored.finalised
        self._states = {self._head.header.hash: self._checked_state(stored.entries)}

    def _checked_state(self, entries: dict[bytes, bytes]) -> Trie:
        """The head's state, in whichever version of the trie has the root that the header names."""
        for version in (1, 0):
            state = Trie.of(entries, version)
            if state.root() == self._head.header.state_root:
                return state
        raise StoreError(f"the stored state is not that of block {self._head.header.number}")

    @classmethod
    def create(
        cls,
        store: Store,
        runtimes: Runtimes,
        clock: Callable[[], int],
        code: bytes,
        preset: str = "development",
        patch: Mapping[str, object] | None = None,
        states_kept: int = STATES_KEPT,
    ) -> Chain:
        """The chain in `store`, begun with the genesis of `preset` when the store is empty."""
        if store.hash_at(0) is None:
            genesis: Genesis = build_genesis(runtimes.of(code), code, preset, patch)
            store.commit(Commit(genesis.block, genesis.entries, {}, 0, 0))
        return cls(store, runtimes, clock, states_kept)

    @property
    def head(self) -> Header:
        """The best block."""
        return self._head.header

    @property
    def finalised(self) -> bytes:
        """The hash of the last finalised block."""
        block_hash = self._store.hash_at(self._finalised)
        if block_hash is None:
            raise StoreError(f"block {self._finalised} is missing")
        return block_hash

    @property
    def finalised_number(self) -> int:
        """The number of the last finalised block."""
        return self._finalised

    def hash_at(self, number: int) -> bytes | None:
        """The hash of block `number`, None when there is none yet."""
        return self._store.hash_at(number)

    def block(self, block_hash: bytes) -> Block:
        """The block with this hash. Raises `StateUnavailable`."""
        block = self._store.block(block_hash)
        if block is None:
            raise StateUnavailable(f"no block 0x{block_hash.hex()}")
        return block

    def state_at(self, block_hash: bytes) -> Trie:
        """The state after this block. Raises `StateUnavailable` when it is unknown or pruned."""
        state = self._states.get(block_hash)
        return state if state is not None else self._rewound(self.block(block_hash).header)

    def _rewound(self, header: Header) -> Trie:
        """The state after an older block: from the next newer one in memory, undoing block by block."""
        if header.number <= self.head.number - self._states_kept:
            raise StateUnavailable(f"the state of block {header.number} is pruned")
        newer = header.number + 1
        while (known := self._states.get(self._hash_at(newer))) is None:
            newer += 1
        for number in range(newer, header.number, -1):
            undo = self._store.undo(number)
            if undo is None:
                raise StateUnavailable(f"the state of block {header.number} is pruned")
            known = known.updated(undo)
            self._states[self._hash_at(number - 1)] = known
        return known

    def _hash_at(self, number: int) -> bytes:
        block_hash = self._store.hash_at(number)
        if block_hash is None:
            raise StoreError(f"block {number} is missing")
        return block_hash

    def runtime_at(self, block_hash: bytes) -> Runtime:
        """The runtime that executes the block after this one, and answers calls on its state."""
        code = self.state_at(block_hash).get(CODE_KEY)
        if code is None:
            raise BlockError("the state holds no runtime")
        return self._runtimes.of(code)

    def call(self, method: str, data: bytes, block_hash: bytes | None = None) -> bytes:
        """Call the runtime on the state after a block (default: the head). Writes are forgotten.

        Raises `StateUnavailable`, or a `RuntimeFailure`.
        """
        at = self.head.hash if block_hash is None else block_hash
        return self.runtime_at(at).executor.call(method, data, Overlay(self.state_at(at)))

    def now_ms(self) -> int:
        """The time for the next block: the clock, moved by `advance`."""
        return self._clock() + self._ahead_ms

    def advance(self, by_ms: int) -> None:
        """Move time forward, for tests: the next block's slot is the one then."""
        if by_ms < 0:
            raise ValueError("time does not run backwards")
        self._ahead_ms += by_ms

    def author(self, transactions: Iterable[bytes] = (), *, finalise: bool = True) -> Authored:
        """Build a block upon the head, store it and make it the head.

        `transactions` are taken one by one until the block is full. The slot is that of the time, but always a later
        one than the parent's, so that chain time runs ahead when blocks are made faster than slots pass.
        Raises `BlockError`, `RuntimeFailure`, `StoreError`; the chain is then as it was.
        """
        parent, state = self.head, self.state_at(self.head.hash)
        runtime = self.runtime_at(parent.hash)
        slot_ms = runtime.slot_ms(Overlay(state))
        slot = max(self.now_ms() // slot_ms, 1 if parent.slot is None else parent.slot + 1)
        builder = BlockBuilder(runtime, parent, state, slot, slot_ms)
        applied: list[tuple[bytes, Applied]] = []
        refused: list[tuple[bytes, DevchainError]] = []
        for transaction in transactions if builder.takes_transactions else ():
            try:
                applied.append((transaction, builder.push(transaction)))
            except InvalidTransaction as error:
                if error.kind == EXHAUSTS_RESOURCES and applied:
                    break
                refused.append((transaction, error))
            except (PoolError, RuntimeFailure) as error:
                refused.append((transaction, error))
        built = builder.finish()
        self._append(built, finalise)
        return Authored(built.block, tuple(applied), tuple(refused), built.changes)

    def import_block(self, block: Block, *, finalise: bool = True) -> None:
        """Take over a block that was built elsewhere, after the runtime has replayed it. Raises `BlockError`."""
        if block.header.parent_hash != self.head.hash or block.header.number != self.head.number + 1:
            raise BlockError(f"block {block.header.number} does not follow the head")
        overlay = Overlay(self.state_at(self.head.hash))
        self.runtime_at(self.head.hash).execute_block(block, overlay)
        self._append(Built(block, overlay.applied(), effective(overlay)), finalise)

    def execute_block(self, block_hash: bytes) -> None:
        """Replay a block of the chain on its parent's state. Raises `BlockError` when it does not hold."""
        block = self.block(block_hash)
        parent = block.header.parent_hash
        overlay = Overlay(self.state_at(parent))
        self.runtime_at(parent).execute_block(block, overlay)
        if overlay.applied().root() != block.header.state_root:
            raise BlockError(f"block {block.header.number} has another state root")

    def finalise(self, number: int) -> None:
        """Declare the blocks up to `number` final. Raises `BlockError` when it is above the head."""
        if number > self.head.number:
            raise BlockError(f"block {number} does not exist yet")
        if number > self._finalised:
            self._store.finalise(number)
            self._finalised = number

    def _append(self, built: Built, finalise: bool) -> None:
        header = built.block.header
        parent_state = self.state_at(header.parent_hash)
        undo: Changes = {key: parent_state.get(key) for key in built.changes}
        finalised = header.number if finalise else self._finalised
        oldest = header.number - self._states_kept + 1
        self._store.commit(Commit(built.block, built.changes, undo, finalised, max(oldest + 1, 0)))
        self._head = built.block
        self._finalised = finalised
        self._states[header.hash] = built.state
        if oldest > 0:
            self._states.pop(self._hash_at(oldest - 1), None)
