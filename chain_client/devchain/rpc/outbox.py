"""What waits to be sent to one client: bounded, so that a slow one costs memory only up to a point."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from chain_client.devchain.rpc.limits import RpcLimits


class SlowClient(Exception):
    """The client does not take what it is sent."""


class Outbox:
    """Messages in order. `send` sends one and returns when the socket has room for more."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]], limits: RpcLimits) -> None:
        self._send = send
        self._limits = limits
        self._messages: deque[bytes] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._overflown = False

    def notify(self, message: bytes) -> None:
        """Queue a notification. One too many ends `run`: a client that misses some must not believe it has all."""
        if len(self._messages) >= self._limits.queued_messages or self._size > self._limits.queued_bytes:
            self._overflown = True
            self._messages.clear()
        self.put(message)

    def put(self, message: bytes) -> None:
        """Queue a response; the caller awaits `room` before it makes the next one."""
        if not self._overflown:
            self._messages.append(message)
            self._size += len(message)
        self._changed.set()
        if self._size > self._limits.response_bytes:
            self._room.clear()

    async def room(self) -> None:
        """Until there is room for another response."""
        await self._room.wait()

    async def run(self) -> None:
        """Send whatever comes. Raises `SlowClient`."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._messages and not self._overflown:
                message = self._messages.popleft()
                try:
                    async with asyncio.timeout(self._limits.send_s):
                        await self._send(message)
                except TimeoutError:
                    raise SlowClient(f"took nothing for {self._limits.send_s:g} s") from None
                self._size -= len(message)
                if self._size <= self._limits.response_bytes:
                    self._room.set()
            if self._overflown:
                raise SlowClient("is too slow for its subscriptions")
