"""A small JSON-RPC client that shows everything it gets."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from chain_client.devchain.service import DevChain

StartChain = Callable[..., Coroutine[Any, Any, DevChain]]
WAIT_S = 30.0


class RefusedCall(Exception):
    """The answer is an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.data: str | None = error.get("data")


def call(method: str, *params: object, id_: object = 1) -> dict[str, object]:
    """A call as JSON."""
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": list(params)}


class Client:
    """One WebSocket. Notifications are kept until somebody asks for them, in order, by subscription."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._next = 0
        self._notifications: dict[str, deque[Any]] = {}

    @classmethod
    @asynccontextmanager
    async def of(cls, chain: DevChain, **options: Any) -> AsyncIterator["Client"]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(chain.url, max_msg_size=1 << 26, **options) as socket,
        ):
            yield cls(socket)

    async def receive(self) -> Any:
        """The next message."""
        async with asyncio.timeout(WAIT_S):
            return json.loads(await self.socket.receive_str())

    async def answer(self, message: object) -> Any:
        """The answer to a message, whatever it is."""
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))
        while True:
            got = await self.receive()
            if isinstance(got, list) or "method" not in got:
                return got
            self._keep(got)

    async def call(self, method: str, *params: object) -> Any:
        """The result of a call. Raises RefusedCall."""
        self._next += 1
        got = await self.answer(call(method, *params, id_=self._next))
        assert got["id"] == self._next
        if "error" in got:
            raise RefusedCall(got["error"])
        return got["result"]

    async def next(self, subscription: str) -> Any:
        """The next notification of `subscription`."""
        while not self._notifications.get(subscription):
            self._keep(await self.receive())
        return self._notifications[subscription].popleft()

    def waiting(self, subscription: str) -> int:
        """How many notifications came that nobody took."""
        return len(self._notifications.get(subscription, ()))

    def subscriptions(self) -> set[str]:
        """Those that something was told of."""
        return set(self._notifications)

    def _keep(self, message: Any) -> None:
        params = message["params"]
        self._notifications.setdefault(params["subscription"], deque()).append(params["result"])
