"""What happens on the chain, in the order in which it happens, on its way to subscribers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chain_client.devchain.pool import PoolEvent
from chain_client.devchain.rpc.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Opened:
    """`subscription` hears of everything from here on, and of `first` before it."""

    subscription: Subscription
    first: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class NewHead:
    """A new best block: its hash, its header as JSON, what it wrote, and the runtime's version if that is another."""

    block_hash: bytes
    header: Mapping[str, object]
    changes: Mapping[bytes, bytes | None]
    version: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class NewFinal:
    """Everything up to this header, in JSON, is final now."""

    header: Mapping[str, object]


News = Opened | NewHead | NewFinal | PoolEvent
