"""The subscriptions that clients may open: what they are about, and what they are told at first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chain_client.devchain.hashing import blake2_256
from chain_client.devchain.rpc.backend import Backend
from chain_client.devchain.rpc.forms import header_json, version_json
from chain_client.devchain.rpc.news import Opened
from chain_client.devchain.rpc.params import Params, to_hex
from chain_client.devchain.rpc.state_methods import KEYS_MAX, changes_json
from chain_client.devchain.rpc.subscription import Interest, Subscription, Topic


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of subscription.

    `interest` checks the parameters (on the event loop); `open` runs on the chain thread and notes the news `Opened`
    at the very moment from which the client is told of everything.
    """

    notification: str
    interest: Callable[[Params], Interest]
    open: Callable[[Backend, Params, Subscription], None]


def _whole(topic: Topic) -> Callable[[Params], Interest]:
    return lambda params: Interest(topic)


def _storage_interest(params: Params) -> Interest:
    keys = params.keys(0, KEYS_MAX)
    if not keys:
        raise params.wrong(0, "at least one key is wanted")
    return Interest(Topic.STORAGE, tuple(dict.fromkeys(keys)))


def _transaction_interest(params: Params) -> Interest:
    return Interest(Topic.TRANSACTION, (blake2_256(params.data(0)),))


def _open_heads(backend: Backend, params: Params, subscription: Subscription) -> None:
    backend.news.append(Opened(subscription, (header_json(backend.chain.head),)))


def _open_final_heads(backend: Backend, params: Params, subscription: Subscription) -> None:
    header = backend.chain.block(backend.chain.finalised).header
    backend.news.append(Opened(subscription, (header_json(header),)))


def _open_version(backend: Backend, params: Params, subscription: Subscription) -> None:
    version = backend.chain.runtime_at(backend.chain.head.hash).version
    backend.news.append(Opened(subscription, (version_json(version),)))


def _open_storage(backend: Backend, params: Params, subscription: Subscription) -> None:
    head = backend.chain.head.hash
    pairs = changes_json(backend.chain.state_at(head), list(subscription.interest.keys), backend.response_bytes)
    backend.news.append(Opened(subscription, ({"block": to_hex(head), "changes": pairs},)))


def _open_transaction(backend: Backend, params: Params, subscription: Subscription) -> None:
    backend.news.append(Opened(subscription))
    backend.author.submit(params.data(0))


_HEADS = Kind("chain_newHead", _whole(Topic.HEADS), _open_heads)
_ALL_HEADS = Kind("chain_allHead", _whole(Topic.HEADS), _open_heads)
_FINAL_HEADS = Kind("chain_finalizedHead", _whole(Topic.FINAL_HEADS), _open_final_heads)
_VERSION = Kind("state_runtimeVersion", _whole(Topic.VERSION), _open_version)

KINDS: dict[str, Kind] = {
    "chain_subscribeNewHeads": _HEADS,
    "chain_subscribeNewHead": _HEADS,
    "subscribe_newHead": _HEADS,
    "chain_subscribeAllHeads": _ALL_HEADS,
    "chain_subscribeFinalizedHeads": _FINAL_HEADS,
    "chain_subscribeFinalisedHeads": _FINAL_HEADS,
    "state_subscribeRuntimeVersion": _VERSION,
    "chain_subscribeRuntimeVersion": _VERSION,
    "state_subscribeStorage": Kind("state_storage", _storage_interest, _open_storage),
    "author_submitAndWatchExtrinsic": Kind("author_extrinsicUpdate", _transaction_interest, _open_transaction),
}
ENDINGS = frozenset(
    {
        "chain_unsubscribeNewHeads",
        "chain_unsubscribeNewHead",
        "unsubscribe_newHead",
        "chain_unsubscribeAllHeads",
        "chain_unsubscribeFinalizedHeads",
        "chain_unsubscribeFinalisedHeads",
        "state_unsubscribeRuntimeVersion",
        "chain_unsubscribeRuntimeVersion",
        "state_unsubscribeStorage",
        "author_unwatchExtrinsic",
    }
)
"""Each ends any subscription of the connection, by its identifier."""
