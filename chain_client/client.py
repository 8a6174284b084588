"""The client of a chain: typed calls, queries and events over one WebSocket.

async with ChainClient("ws://127.0.0.1:9944") as chain:
    epoch, _ = await chain.query.epoch()
    done = await chain.submit(calls.bond(role=1, amount=100 * PRZ), account)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from types import TracebackType
from typing import Final, Self

from substrateinterface import SubstrateInterface  # type: ignore[import-untyped]

from chain_client.account import AccountSigner
from chain_client.blocks import block_events, final_number, hash_at
from chain_client.calls import Call
from chain_client.connection import Connection, ConnectionOptions
from chain_client.errors import MalformedAnswer
from chain_client.events import ChainEvent
from chain_client.queries import Queries
from chain_client.transactions import Included, Sent, Transactions, Until
from chain_client.types import AccountId

DEFAULT_URL: Final = "ws://127.0.0.1:9944"
TIMEOUT_S: Final = 60.0
_POLL_S = 0.25
_EVENT_BLOCKS = 16


class ChainClient:
    """See the module. Belongs to the event loop that uses it; connects with the first question."""

    def __init__(
        self, url: str = DEFAULT_URL, options: ConnectionOptions | None = None, poll_s: float = _POLL_S
    ) -> None:
        self._connection = Connection(url, options)
        self._transactions = Transactions(self._connection, poll_s)
        self._poll_s = poll_s
        self.query = Queries(self._connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection."""
        await self._connection.close()

    async def fee(self, call: Call, account: AccountId) -> int:
        """What `call` would cost the account at most, in the smallest unit."""
        return await self._transactions.fee(call, account)

    async def send(self, call: Call, signer: AccountSigner) -> Sent:
        """Signs `call` and hands it to the node's pool, without waiting for a block."""
        return await self._transactions.send(call, signer)

    async def wait(self, sent: Sent, until: Until = Until.IN_BLOCK, timeout_s: float = TIMEOUT_S) -> Included:
        """Waits for what was sent. Raises DispatchFailed, TransactionTimeout, TransactionExpired."""
        return await self._transactions.wait(sent, until, timeout_s)

    async def submit(
        self, call: Call, signer: AccountSigner, until: Until = Until.IN_BLOCK, timeout_s: float = TIMEOUT_S
    ) -> Included:
        """Signs `call`, sends it and waits for its outcome. Raises what `send` and `wait` raise."""
        return await self.wait(await self.send(call, signer), until, timeout_s)

    async def events(self, first_block: int | None = None) -> AsyncIterator[ChainEvent]:
        """Every event of every final block from `first_block` on (None: from the next one), in order, without end.

        Goes block by block, so that a broken connection loses nothing. Who stores the number of a block whose events
        are all dealt with goes on there after a restart. Raises StatePruned when the node has no events that old any
        more: better a node that keeps more than a gap that nobody sees.
        """
        number = first_block if first_block is not None else await self._connection.run(final_number) + 1
        while True:
            upto = await self._connection.run(final_number)
            if number > upto:
                await asyncio.sleep(self._poll_s)
                continue
            for block in range(number, min(upto + 1, number + _EVENT_BLOCKS)):
                for event in await self._connection.run(partial(_events_of, number=block)):
                    yield event
                number = block + 1


def _events_of(interface: SubstrateInterface, number: int) -> tuple[ChainEvent, ...]:
    block_hash = hash_at(interface, number)
    if block_hash is None:
        raise MalformedAnswer(f"the node does not know block {number}, which it called final")
    return block_events(interface, number, block_hash)
