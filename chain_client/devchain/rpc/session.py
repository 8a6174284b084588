"""One client: its calls answered one after the other, its rate, its subscriptions. Knows no socket.

A client has at most one job on the chain thread at a time, so a flood from one delays the others by one job each.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from chain_client.devchain.errors import DevchainError
from chain_client.devchain.rpc import chain_methods, pool_methods, protocol, state_methods, system_methods
from chain_client.devchain.rpc.backend import Backend, Method
from chain_client.devchain.rpc.errors import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    RATE_EXCEEDED,
    TOO_MANY_SUBSCRIPTIONS,
    RpcError,
    rpc_error,
)
from chain_client.devchain.rpc.hub import Hub
from chain_client.devchain.rpc.limits import RpcLimits, TokenBucket
from chain_client.devchain.rpc.params import Params
from chain_client.devchain.rpc.subscription import Subscription
from chain_client.devchain.rpc.subscriptions import ENDINGS, KINDS, Kind

logger = logging.getLogger(__name__)


class OnChain(Protocol):
    """Runs a job on the chain thread and gives back what it returns or raises."""

    def __call__(self, job: Callable[[Backend], object], /) -> Awaitable[object]: ...


@dataclass(frozen=True, slots=True)
class Node:
    """What all sessions share. `methods` run on the chain thread."""

    on_chain: OnChain
    hub: Hub
    limits: RpcLimits
    methods: Mapping[str, Method]

    @classmethod
    def of(cls, on_chain: OnChain, hub: Hub, limits: RpcLimits, *, unsafe: bool) -> Node:
        """`unsafe` allows sealing by hand and time travel."""
        methods: dict[str, Method] = {
            **chain_methods.METHODS,
            **state_methods.METHODS,
            **pool_methods.METHODS,
            **system_methods.METHODS,
        }
        if unsafe:
            methods.update(chain_methods.UNSAFE_METHODS)
        return cls(on_chain, hub, limits, methods)

    def method_names(self) -> list[str]:
        """What `rpc_methods` tells."""
        return sorted({"rpc_methods", *self.methods, *system_methods.FACTS, *KINDS, *ENDINGS})


class Session:
    """A client of `node`, whose calls take from `bucket`.

    `deliver` sends a notification; None where there is no way to send one (HTTP).
    """

    def __init__(self, node: Node, bucket: TokenBucket, deliver: Callable[[bytes], None] | None = None) -> None:
        self._node = node
        self._deliver = deliver
        self._bucket = bucket
        self._subscriptions: dict[str, Subscription] = {}
        self._opened: list[Subscription] = []

    async def answer(self, message: bytes | str) -> bytes | None:
        """The response to a message, None when it wants none. Call `release` once it is on its way."""
        limits = self._node.limits
        try:
            parsed = protocol.parse(message, limits.batch)
        except RpcError as error:
            return protocol.failure(None, error)
        responses: list[bytes] = []
        size = 0
        for call in parsed.calls:
            if isinstance(call, protocol.BadCall):
                response = protocol.failure(call.id, call.error)
            else:
                response = await self._answer_call(call)
            if isinstance(call, protocol.Call) and call.is_notification:
                continue
            responses.append(response)
            size += len(response)
            if size > limits.response_bytes:
                break
        if not responses:
            return None
        if not parsed.is_batch:
            return responses[0]
        if size > limits.response_bytes:
            self._close_opened()  # their identifiers are lost with the responses
        return protocol.batch(responses, limits.response_bytes)

    def release(self) -> None:
        """The client has the identifiers of the subscriptions that it opened: what they have to tell may follow."""
        opened, self._opened = self._opened, []
        for subscription in opened:
            subscription.release()

    def _close_opened(self) -> None:
        """Close the subscriptions that were opened since the last `release`."""
        opened, self._opened = self._opened, []
        for subscription in opened:
            self._unsubscribe(subscription.id)

    def close(self) -> None:
        """The client is gone."""
        for subscription in self._subscriptions.values():
            self._node.hub.close(subscription)
        self._subscriptions.clear()

    async def _answer_call(self, call: protocol.Call) -> bytes:
        try:
            if not self._bucket.take():
                raise RpcError(RATE_EXCEEDED, "RPC rate limit exceeded")
            return protocol.success(call.id, await self._result(call), self._node.limits.response_bytes)
        except RpcError as error:
            return protocol.failure(call.id, error)
        except DevchainError as error:
            return protocol.failure(call.id, rpc_error(error))
        except Exception:
            logger.exception("a bug in %s", call.method[:100])
            return protocol.failure(call.id, RpcError(INTERNAL_ERROR, "Internal error"))

    async def _result(self, call: protocol.Call) -> object:
        name, params = call.method, call.params
        if name in system_methods.FACTS:
            return system_methods.FACTS[name]
        if name == "rpc_methods":
            return {"methods": self._node.method_names()}
        method = self._node.methods.get(name)
        if method is not None:
            return await self._node.on_chain(lambda backend: method(backend, params))
        kind = KINDS.get(name)
        if kind is not None and self._deliver is not None:
            return await self._subscribe(kind, params, self._deliver)
        if name in ENDINGS and self._deliver is not None:
            return self._unsubscribe(params.text(0))
        raise RpcError(METHOD_NOT_FOUND, "Method not found")

    async def _subscribe(self, kind: Kind, params: Params, deliver: Callable[[bytes], None]) -> str:
        limits = self._node.limits
        if len(self._subscriptions) >= limits.subscriptions:
            raise RpcError(
                TOO_MANY_SUBSCRIPTIONS, "Too many subscriptions on the connection", f"at most {limits.subscriptions}"
            )
        interest = kind.interest(params)
        held = sum(len(subscription.interest.keys) for subscription in self._subscriptions.values())
        if held + len(interest.keys) > limits.subscribed_keys:
            raise RpcError(
                TOO_MANY_SUBSCRIPTIONS, "Too many subscriptions on the connection", f"{limits.subscribed_keys} keys"
            )
        subscription = Subscription(kind.notification, interest, deliver)
        subscription.on_end = lambda: self._forget(subscription.id)
        self._subscriptions[subscription.id] = subscription
        try:
            await self._node.on_chain(lambda backend: kind.open(backend, params, subscription))
        except BaseException:
            self._unsubscribe(subscription.id)
            raise
        self._opened.append(subscription)
        return subscription.id

    def _forget(self, identifier: str) -> None:
        self._subscriptions.pop(identifier, None)

    def _unsubscribe(self, identifier: str) -> bool:
        subscription = self._subscriptions.pop(identifier, None)
        if subscription is None:
            return False
        self._node.hub.close(subscription)
        return True
