"""HTTP POST and WebSocket on one port. Thin: sessions answer, this moves bytes and keeps the bounds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from aiohttp import WSMsgType, web

from chain_client.devchain.rpc.errors import OVERSIZED_REQUEST, RpcError
from chain_client.devchain.rpc.gate import Gate
from chain_client.devchain.rpc.limits import RpcLimits, TokenBucket
from chain_client.devchain.rpc.origins import is_local_origin, is_loopback, is_loopback_authority
from chain_client.devchain.rpc.outbox import Outbox, SlowClient
from chain_client.devchain.rpc.protocol import failure
from chain_client.devchain.rpc.session import Node, Session

logger = logging.getLogger(__name__)

_JSON = "application/json"
_CLOSE_S = 2.0
_CORS = {"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "content-type"}


class RpcServer:
    """Serves `node` from `start` to `close`; everything happens on the loop that calls them."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._only_loopback = True
        self._clients: set[asyncio.Task[None]] = set()
        self._http = web.Server(self._handle, access_log=None, keepalive_timeout=node.limits.request_s)
        self._gate = Gate(self._http, node.limits)
        self._listener: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port (chosen by the system when `port` is 0). Raises OSError."""
        self._only_loopback = is_loopback(host)
        self._listener = await asyncio.get_running_loop().create_server(self._gate, host, port)
        bound: int = self._listener.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening and end all connections."""
        if self._listener is not None:
            self._listener.close()
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await self._http.shutdown(_CLOSE_S)
        if self._listener is not None:
            await self._listener.wait_closed()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            bucket = self._gate.busy(request.protocol)
        except KeyError:
            raise ConnectionResetError("the client has left") from None
        try:
            return await self._route(request, bucket)
        finally:
            self._gate.idle(request.protocol)

    async def _route(self, request: web.BaseRequest, bucket: TokenBucket) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin is not None and not is_local_origin(origin):
            return web.Response(status=403, text="pages of other machines may not use this chain\n")
        if self._only_loopback and not is_loopback_authority(request.headers.get("Host", "")):
            return web.Response(status=403, text="the Host header must name this machine\n")
        if request.path != "/":
            return web.Response(status=404, text="JSON-RPC is served at /\n")
        if web.WebSocketResponse().can_prepare(request).ok:
            return await self._websocket(request, bucket)
        if request.method == "OPTIONS":
            response = web.Response(status=204, headers=_CORS)
        elif request.method != "POST":
            response = web.Response(status=405, text="JSON-RPC takes POST or a WebSocket\n", headers={"Allow": "POST"})
        elif request.content_type != _JSON or "Content-Encoding" in request.headers:
            response = web.Response(status=415, text=f"JSON-RPC takes plain {_JSON}\n")
        else:
            response = await self._post(request, bucket)
        if origin is not None:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"
        return response

    async def _post(self, request: web.BaseRequest, bucket: TokenBucket) -> web.Response:
        limits = self._node.limits
        try:
            async with asyncio.timeout(limits.request_s):
                body = await _read(request, limits.request_bytes)
        except TimeoutError:
            return _closing(web.Response(status=408, text="the request took too long\n"))
        if body is None:
            detail = f"Exceeded max limit of {limits.request_bytes}"
            error = failure(None, RpcError(OVERSIZED_REQUEST, "Request is too big", detail))
            return _closing(web.Response(status=413, body=error, content_type=_JSON))
        with _nothing_more(request):
            answer = await Session(self._node, bucket).answer(body)
        return web.Response(status=204) if answer is None else web.Response(body=answer, content_type=_JSON)

    async def _websocket(self, request: web.BaseRequest, bucket: TokenBucket) -> web.WebSocketResponse:
        limits = self._node.limits
        socket = web.WebSocketResponse(
            autoping=False, max_msg_size=limits.request_bytes, compress=False, timeout=_CLOSE_S
        )
        await socket.prepare(request)
        outbox = Outbox(lambda message: socket.send_frame(message, WSMsgType.TEXT), limits)
        session = Session(self._node, bucket, outbox.notify)
        tasks = {
            asyncio.create_task(_read_calls(socket, session, outbox, limits)),
            asyncio.create_task(outbox.run()),
        }
        self._clients |= tasks
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if _was_slow(done) and request.transport is not None:
                # A closing handshake would wait behind all that the client does not take.
                request.transport.abort()
        finally:
            session.close()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._clients -= tasks
            with contextlib.suppress(ConnectionError):
                await socket.close()
        return socket


@contextlib.contextmanager
def _nothing_more(request: web.BaseRequest) -> Iterator[None]:
    """Leave in the socket what a client sends before it has its answer: requests in advance would pile up here."""
    transport = request.transport
    if transport is None:
        yield
        return
    transport.pause_reading()
    try:
        yield
    finally:
        transport.resume_reading()


async def _read(request: web.BaseRequest, bytes_max: int) -> bytes | None:
    """The body, None when it is too long."""
    if (request.content_length or 0) > bytes_max:
        return None
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > bytes_max:
            return None
    return bytes(body)


def _closing(response: web.Response) -> web.Response:
    """The connection ends here: the rest of the request is not read."""
    response.force_close()
    return response


async def _read_calls(socket: web.WebSocketResponse, session: Session, outbox: Outbox, limits: RpcLimits) -> None:
    """Answer what comes until the client leaves. Raises `SlowClient`."""
    while (message := await _next_message(socket, limits)) is not None:
        answer = await session.answer(message)
        if answer is not None:
            outbox.put(answer)
            session.release()
            await outbox.room()


async def _next_message(socket: web.WebSocketResponse, limits: RpcLimits) -> str | bytes | None:
    """The next message, None at the end. Who is silent for long is asked whether it lives.

    Only here, and not while a call is answered: then nobody reads what the client says.
    """
    asked = False
    while True:
        try:
            message = await socket.receive(limits.ping_s / 2 if asked else limits.ping_s)
        except TimeoutError:
            if asked:
                raise SlowClient("does not answer") from None
            asked = True
            async with asyncio.timeout(limits.ping_s / 2):
                await socket.ping()
            continue
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            data: str | bytes = message.data
            return data
        if message.type is WSMsgType.PING:
            async with asyncio.timeout(limits.send_s):
                await socket.pong(message.data)
        elif message.type is WSMsgType.PONG:
            asked = False
        else:
            return None


def _was_slow(done: set[asyncio.Task[None]]) -> bool:
    """Was the client dropped for what it did not do? Logs how the connection ended."""
    slow = False
    for task in done:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, SlowClient | TimeoutError):
            slow = True
            logger.info("a client %s and is dropped", error)
        elif error is not None and not isinstance(error, ConnectionError):
            logger.error("a connection failed", exc_info=error)
    return slow
