"""One subscription of one connection. Belongs to the event loop."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from chain_client.devchain.rpc.protocol import notification


class Topic(Enum):
    """What a subscription may be about."""

    HEADS = auto()
    FINAL_HEADS = auto()
    VERSION = auto()
    STORAGE = auto()
    TRANSACTION = auto()


@dataclass(frozen=True, slots=True)
class Interest:
    """A topic with the storage keys, or the hash of the transaction, that it is about."""

    topic: Topic
    keys: tuple[bytes, ...] = ()


class Subscription:
    """Notifications are held back until `release`: the client must know the identifier first."""

    __slots__ = ("_deliver", "_held", "_method", "closed", "id", "interest", "on_end")

    def __init__(self, method: str, interest: Interest, deliver: Callable[[bytes], None]) -> None:
        self.id = secrets.token_hex(8)
        self.interest = interest
        self.closed = False
        self.on_end: Callable[[], None] = lambda: None
        """Called when there is nothing more to come."""
        self._method = method
        self._deliver = deliver
        self._held: list[bytes] | None = []

    def notify(self, result: object) -> None:
        """Tell the client."""
        if self.closed:
            return
        message = notification(self._method, self.id, result)
        if self._held is None:
            self._deliver(message)
        else:
            self._held.append(message)

    def release(self) -> None:
        """The client knows the identifier."""
        held, self._held = self._held or [], None
        for message in held:
            self._deliver(message)
