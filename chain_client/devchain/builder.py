"""Builds one block: initialise, inherents, transactions, finalise."""

from __future__ import annotations

from dataclasses import dataclass

from chain_client.devchain.errors import BlockError, PoolError
from chain_client.devchain.header import HASH_BYTES, Block, Header, aura_slot
from chain_client.devchain.overlay import Overlay
from chain_client.devchain.runtime import Runtime
from chain_client.devchain.trie import Trie
from chain_client.devchain.validity import Applied


@dataclass(frozen=True)
class Built:
    """A finished block, the state after it, and what it wrote (None: deleted)."""

    block: Block
    state: Trie
    changes: dict[bytes, bytes | None]


class BlockBuilder:
    """The block upon `parent`, for `slot`. The inherents are in it from the start. Raises `BlockError`."""

    def __init__(self, runtime: Runtime, parent: Header, state: Trie, slot: int, slot_ms: int) -> None:
        self._runtime = runtime
        self._overlay = Overlay(state)
        self._extrinsics: list[bytes] = []
        empty = bytes(HASH_BYTES)
        self._draft = Header(parent.hash, parent.number + 1, empty, empty, (aura_slot(slot),))
        self.takes_transactions = runtime.initialize_block(self._draft, self._overlay)
        for inherent in runtime.inherents(slot * slot_ms, self._overlay):
            try:
                applied = runtime.apply(inherent, self._overlay)
            except PoolError as error:
                raise BlockError(f"an inherent is refused: {error}") from None
            if applied.error is not None:
                raise BlockError(f"an inherent fails: {applied.error.hex()}")
            self._extrinsics.append(inherent)

    def push(self, extrinsic: bytes) -> Applied:
        """Apply a transaction and put it into the block. An error leaves no trace.

        Raises a `PoolError` when it may not be in this block, a `RuntimeFailure` when the runtime broke down over it.
        """
        applied = self._runtime.apply(extrinsic, self._overlay)
        self._extrinsics.append(extrinsic)
        return applied

    def finish(self) -> Built:
        """The block. The builder is used up."""
        header = self._runtime.finalize_block(self._overlay)
        state = self._overlay.applied()
        if header.state_root != state.root() or header.number != self._draft.number:
            raise BlockError("the runtime finalised another block than it was asked for")
        return Built(Block(header, tuple(self._extrinsics)), state, effective(self._overlay))


def effective(overlay: Overlay) -> dict[bytes, bytes | None]:
    """The overlay's writes that change something."""
    return {key: value for key, value in overlay.changes.items() if overlay.base.get(key) != value}
