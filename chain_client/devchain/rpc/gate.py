"""Between the sockets and the HTTP server: how many connections there are, how long they may idle, their rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

from chain_client.devchain.rpc.limits import RpcLimits, TokenBucket

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Gate:
    """Counts the connections of one server. `factory` makes the protocol that talks HTTP."""

    def __init__(self, factory: Callable[[], asyncio.Protocol], limits: RpcLimits) -> None:
        self._factory = factory
        self._limits = limits
        self._guards: dict[asyncio.Protocol, _Guard] = {}

    def __call__(self) -> asyncio.Protocol:
        """The protocol for a new connection."""
        bucket = TokenBucket(self._limits.calls_per_s, self._limits.calls_burst, time.monotonic)
        return _Guard(self, self._factory(), bucket)

    def busy(self, inner: asyncio.Protocol) -> TokenBucket:
        """A whole request head is here; the bucket of its connection. Raises KeyError when that is gone."""
        guard = self._guards[inner]
        guard.stop_timer()
        return guard.bucket

    def idle(self, inner: asyncio.Protocol) -> None:
        """The request is answered."""
        guard = self._guards.get(inner)
        if guard is not None:
            guard.start_timer(self._limits.request_s)

    def enter(self, guard: _Guard) -> bool:
        """Is there room for this connection?"""
        if len(self._guards) >= self._limits.connections:
            return False
        self._guards[guard.inner] = guard
        guard.start_timer(self._limits.request_s)
        return True

    def leave(self, guard: _Guard) -> None:
        """The connection is gone."""
        self._guards.pop(guard.inner, None)


class _Guard(asyncio.Protocol):
    """One connection: hands everything on to `inner`, and ends it when no request comes in time."""

    def __init__(self, gate: Gate, inner: asyncio.Protocol, bucket: TokenBucket) -> None:
        self.inner = inner
        self.bucket = bucket
        self._gate = gate
        self._admitted = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start_timer(self, seconds: float) -> None:
        self.stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._admitted = self._gate.enter(self)
        if self._admitted:
            self.inner.connection_made(transport)
        else:
            self._transport.write(_FULL)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._admitted:
            self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received() if self._admitted else None

    def pause_writing(self) -> None:
        if self._admitted:
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        if self._admitted:
            self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_timer()
        self._gate.leave(self)
        if self._admitted:
            self.inner.connection_lost(exc)
