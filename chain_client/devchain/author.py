"""The author: takes transactions into the pool and makes blocks of them.

Pure as the chain is: whoever drives it decides when `seal` is called (at once, by interval, by hand).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from chain_client.devchain.chain import Authored, Chain
from chain_client.devchain.errors import BlockError, InvalidTransaction, RuntimeFailure, StoreError
from chain_client.devchain.hashing import blake2_256
from chain_client.devchain.pool import Pool, PoolEvent, PoolLimits, Status
from chain_client.devchain.runtime import check_format
from chain_client.devchain.scale import Reader

BLOCK_TRANSACTIONS_MAX = 512
"""A block of so many transfers takes a few seconds to make; what is left over goes into the next one."""
_NONCE_BYTES = 4
_ACCOUNT_BYTES = 32
_FUTURE = 2


class Author:
    """A chain with its pool. `tell` hears of everything that happens to a transaction."""

    def __init__(
        self,
        chain: Chain,
        limits: PoolLimits | None = None,
        tell: Callable[[PoolEvent], None] = lambda _: None,
    ) -> None:
        self.chain = chain
        self._tell = tell
        self.pool = Pool(limits or PoolLimits(), chain.now_ms, tell)

    def submit(self, transaction: bytes) -> bytes:
        """Validate `transaction` upon the head and put it into the pool; its hash. Raises a `PoolError`."""
        check_format(transaction)
        self.pool.check(transaction)
        head = self.chain.head
        runtime = self.chain.runtime_at(head.hash)
        validity = runtime.validate(transaction, head.hash, self.chain.state_at(head.hash))
        return self.pool.add(transaction, validity, head.number)

    def next_nonce(self, account: bytes) -> int:
        """The nonce for the next transaction of `account` (32 bytes), those in the pool counted."""
        if len(account) != _ACCOUNT_BYTES:
            raise ValueError(f"an account has {_ACCOUNT_BYTES} bytes")
        nonce = Reader(self.chain.call("AccountNonceApi_account_nonce", account)).integer(_NONCE_BYTES)
        while self.pool.provides(account + nonce.to_bytes(_NONCE_BYTES, "little")):
            nonce += 1
        return nonce

    def seal(self, *, finalise: bool = True, create_empty: bool = True) -> Authored | None:
        """Make a block of what is ready; None when nothing is and `create_empty` is off.

        What the runtime refuses leaves the pool and is banned for a while. So does a transaction that it applies but
        after which it cannot end the block. Raises what `Chain.author` raises.
        """
        if not create_empty and not self.pool.ready_count:
            return None
        final_before = self.chain.finalised_number
        authored = self._author(finalise=finalise)
        header = authored.block.header
        self.pool.included([transaction for transaction, _ in authored.applied], header.hash, header.number)
        for transaction, error in authored.refused:
            if not isinstance(error, InvalidTransaction) or error.kind != _FUTURE:
                # A nonce of the future is the fault of the transaction before it, which is refused itself.
                self.pool.remove(transaction)
        self._tell_final(final_before)
        return authored

    def _author(self, *, finalise: bool) -> Authored:
        """A block of what is ready. While it fails, of half as much: one bad transaction must not stop the chain."""
        offered = list(islice(self.pool.ready(), BLOCK_TRANSACTIONS_MAX))
        while True:
            try:
                return self.chain.author(offered, finalise=finalise)
            except (BlockError, RuntimeFailure):
                if len(offered) <= 1:
                    for transaction in offered:
                        self.pool.remove(transaction)
                    raise
                offered = offered[: len(offered) // 2]

    def finalise(self, number: int) -> None:
        """Declare the blocks up to `number` final. Raises `BlockError`."""
        final_before = self.chain.finalised_number
        self.chain.finalise(number)
        self._tell_final(final_before)

    def _tell_final(self, before: int) -> None:
        """Tell of the transactions in the blocks that became final since block `before` was the last one."""
        for number in range(before + 1, self.chain.finalised_number + 1):
            block_hash = self.chain.hash_at(number)
            if block_hash is None:
                raise StoreError(f"block {number} is missing")
            for extrinsic in self.chain.block(block_hash).extrinsics:
                self._tell(PoolEvent(blake2_256(extrinsic), Status.FINALISED, block_hash))
