"""A WebSocket that reads no message beyond a size or a time: what a node sends is hostile until it is decoded."""

from __future__ import annotations

import time
from typing import Any

from websocket import WebSocket, WebSocketConnectionClosedException

from chain_client.errors import AnswerTooLarge

ANSWER_BYTES_MAX = 32 << 20
"""Metadata takes about 1 MiB in hexadecimal digits, a full block some MiB."""
ANSWER_SECONDS_MAX = 60.0


class BoundedWebSocket(WebSocket):
    """See the module. Every byte that comes off the socket passes `_recv`."""

    bytes_max = ANSWER_BYTES_MAX
    seconds_max = ANSWER_SECONDS_MAX

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._new_message()

    def recv(self) -> Any:
        self._new_message()
        data = super().recv()
        if not data:  # what the library makes of a closing handshake
            raise WebSocketConnectionClosedException("the node closed the connection")
        return data

    def _new_message(self) -> None:
        self._bytes_left = self.bytes_max
        self._deadline = time.monotonic() + self.seconds_max

    def _recv(self, bufsize: int) -> bytes:
        if self._bytes_left <= 0 or time.monotonic() > self._deadline:
            self.shutdown()  # type: ignore[no-untyped-call]
            raise AnswerTooLarge(
                f"the node's answer passes {self.bytes_max >> 20} MiB or {self.seconds_max:.0f} s; use another node"
            )
        data: bytes = super()._recv(bufsize)  # type: ignore[no-untyped-call]
        self._bytes_left -= len(data)
        return data
