"""One connection to a node: stock substrate-interface in one worker thread, so that the event loop never waits for I/O.

Reads are repeated over a new connection when the old one breaks; what must not be repeated says so. After that the
genesis must be the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import websocket
from substrateinterface import SubstrateInterface  # type: ignore[import-untyped]
from substrateinterface.exceptions import SubstrateRequestException  # type: ignore[import-untyped]

from chain_client.account import SS58_PREFIX
from chain_client.bounded_socket import BoundedWebSocket
from chain_client.errors import (
    AnswerTooLarge,
    BadArgument,
    ChainChanged,
    ChainError,
    MalformedAnswer,
    NodeRefused,
    NodeUnreachable,
    StatePruned,
)
from chain_client.runtime_api import TYPE_REGISTRY
from chain_client.worker import Worker

T = TypeVar("T")
logger = logging.getLogger(__name__)

_MESSAGE_CHARS_MAX = 300
_FAREWELL_S = 1.0
_STATE_PRUNED_CODES = frozenset({4003, -32000})
_BROKEN = (OSError, websocket.WebSocketException)


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """`timeout_s` bounds connecting and each silence of the node; `attempts` how often a broken read is tried."""

    timeout_s: float = 15.0
    attempts: int = 4
    backoff_s: float = 0.25


class Connection:
    """See the module. Methods may be called from many tasks of one loop; calls run one after the other."""

    def __init__(self, url: str, options: ConnectionOptions | None = None) -> None:
        if urlsplit(url).scheme not in ("ws", "wss") or not urlsplit(url).hostname:
            raise BadArgument(f"{url[:200]!r} is no address of a chain; write ws://HOST:PORT or wss://HOST:PORT")
        self.url = url
        self._options = options or ConnectionOptions()
        self._worker = Worker("chain client")
        self._closed = False
        self._interface: SubstrateInterface | None = None
        self._usable = False
        self._genesis: str | None = None

    async def run(self, work: Callable[[SubstrateInterface], T], *, repeat: bool = True) -> T:
        """`work` done in the worker thread, with a connection. Raises ChainError; `repeat`: again when it breaks."""
        attempts = self._options.attempts if repeat else 1
        for attempt in range(1, attempts + 1):
            try:
                return await self._in_worker(lambda: work(self._connected()))
            except NodeUnreachable as error:
                if attempt == attempts:
                    raise
                logger.info("the chain at %s is lost, connecting again: %s", self.url, error)
                await asyncio.sleep(self._options.backoff_s * 2 ** (attempt - 1))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def close(self) -> None:
        """Ends the connection and the thread; twice does no harm.

        Waits for no node that does not answer: what the thread does there ends with its time-out, or the process.
        """
        if self._closed:
            return
        self._closed = True
        self._worker.run(self._disconnect)
        idle = asyncio.wrap_future(self._worker.run(lambda: None))
        self._worker.end()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(idle, _FAREWELL_S)

    async def _in_worker(self, work: Callable[[], T]) -> T:
        try:
            future = self._worker.run(lambda: _translated(work, self._broken))
        except RuntimeError:
            raise NodeUnreachable("this client was closed; make a new one") from None
        return await asyncio.wrap_future(future)

    # Everything below runs in the worker thread.

    def _broken(self) -> None:
        self._usable = False

    def _connected(self) -> SubstrateInterface:
        if self._interface is None:
            self._interface = self._new_interface()
        elif not self._usable:
            _hang_up(self._interface)
            self._interface.connect_websocket()
        if not self._usable:
            self._check_genesis(self._interface)
            self._usable = True
        return self._interface

    def _new_interface(self) -> SubstrateInterface:
        return SubstrateInterface(
            url=self.url,
            ss58_format=SS58_PREFIX,
            type_registry=TYPE_REGISTRY,
            auto_discover=False,
            auto_reconnect=False,
            ws_options={"class_": BoundedWebSocket, "timeout": self._options.timeout_s, "enable_multithread": False},
        )

    def _check_genesis(self, interface: SubstrateInterface) -> None:
        genesis = interface.rpc_request("chain_getBlockHash", [0])["result"]
        if self._genesis not in (None, genesis):
            raise ChainChanged(f"another chain answers at {self.url} than before; start the command again")
        self._genesis = genesis

    def _disconnect(self) -> None:
        if self._interface is not None:
            _hang_up(self._interface)
            self._interface = None


def _hang_up(interface: SubstrateInterface) -> None:
    """Closes the socket, in whichever state the conversation is: without waiting for the node's farewell."""
    if interface.websocket is not None:
        interface.websocket.shutdown()


def _translated(work: Callable[[], T], broken: Callable[[], None]) -> T:
    """The result of `work`, whatever it raises turned into a ChainError; `broken` hears of a lost connection."""
    try:
        return work()
    except (AnswerTooLarge, NodeUnreachable):
        broken()
        raise
    except ChainError:
        raise
    except _BROKEN as error:
        broken()
        raise NodeUnreachable(f"no chain answers ({_short(error)}); check --chain, or start one") from None
    except SubstrateRequestException as error:
        raise refusal(error) from None
    except Exception as error:
        # The library meets what a node may not answer with whatever error its own code runs into, of any type.
        raise MalformedAnswer(f"the node's answer makes no sense ({_short(error)}); is it a Peerz chain?") from error


def refusal(error: SubstrateRequestException) -> NodeRefused:
    """A JSON-RPC error as an exception of ours."""
    body = error.args[0] if error.args else ""
    if not isinstance(body, dict):
        return NodeRefused(f"the node refused: {str(body)[:_MESSAGE_CHARS_MAX]}", 0)
    code = body.get("code")
    data = body.get("data")
    text = f"{body.get('message', '')}{f': {data}' if data else ''}"[:_MESSAGE_CHARS_MAX]
    number = code if isinstance(code, int) else 0
    if number in _STATE_PRUNED_CODES and ("discarded" in text or "pruned" in text or "not found" in text.lower()):
        return StatePruned(f"the node has no state of that block any more: {text}", number)
    return NodeRefused(f"the node refused: {text}", number)


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:_MESSAGE_CHARS_MAX]}"
