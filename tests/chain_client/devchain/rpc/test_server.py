"""Sockets: bounds, foreign pages, garbage, floods, clients that stand still."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from rpc_tools import WAIT_S, Client, StartChain, call

from chain_client.devchain.rpc.limits import RpcLimits
from chain_client.devchain.service import DevChain


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def url(chain: DevChain) -> str:
    return chain.url.replace("ws://", "http://")


async def posted(http: aiohttp.ClientSession, chain: DevChain, content: object, **headers: str) -> tuple[int, Any]:
    """Status and JSON of the answer to a POST."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    wanted = {"Content-Type": "application/json", **headers}
    async with http.post(url(chain), data=data, headers=wanted) as response:
        body = await response.read()
        return response.status, json.loads(body) if response.content_type == "application/json" else None


async def raw(chain: DevChain, data: bytes) -> bytes:
    """What the server sends, to its end, to somebody who sends `data`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", chain.port)
    try:
        writer.write(data)
        async with asyncio.timeout(WAIT_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def alive(chain: DevChain) -> None:
    """The server serves others."""
    async with Client.of(chain) as client:
        assert await client.call("system_chain") == "Peerz Development"


async def test_calls_by_post(chain: DevChain, http: aiohttp.ClientSession) -> None:
    status, answer = await posted(http, chain, call("system_chain", id_="x"))
    assert (status, answer) == (200, {"jsonrpc": "2.0", "result": "Peerz Development", "id": "x"})
    status, answer = await posted(http, chain, [call("system_name", id_=1), call("chain_getBlockHash", 0, id_=2)])
    assert (status, [item["id"] for item in answer]) == (200, [1, 2])


async def test_a_notification_by_post_is_not_answered(chain: DevChain, http: aiohttp.ClientSession) -> None:
    assert await posted(http, chain, {"jsonrpc": "2.0", "method": "system_chain"}) == (204, None)


async def test_there_are_no_subscriptions_by_post(chain: DevChain, http: aiohttp.ClientSession) -> None:
    for method in ("chain_subscribeNewHeads", "chain_unsubscribeNewHeads"):
        _, answer = await posted(http, chain, call(method, "x"))
        assert answer["error"]["code"] == -32601


async def test_garbage_by_post_is_an_error_in_json(chain: DevChain, http: aiohttp.ClientSession) -> None:
    for garbage, code in ((b"", -32700), (b"\xff\x00", -32700), (b"[]", -32600), (b"{}", -32600)):
        status, answer = await posted(http, chain, garbage)
        assert (status, answer["error"]["code"], answer["id"]) == (200, code, None)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 405),
        ("PUT", "/", {}, 405),
        ("POST", "/other", {"Content-Type": "application/json"}, 404),
        ("POST", "/", {"Content-Type": "text/plain"}, 415),
        ("POST", "/", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ("POST", "/", {"Content-Type": "application/json", "Host": "rebound.example.org"}, 403),
        ("GET", "/", {"Host": "rebound.example.org"}, 403),
        ("POST", "/", {"Content-Type": "application/json", "Origin": "https://example.org"}, 403),
        ("OPTIONS", "/", {"Origin": "https://example.org"}, 403),
    ],
)
async def test_other_requests_are_refused(
    chain: DevChain, http: aiohttp.ClientSession, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with http.request(method, url(chain) + path, headers=headers, data=b"{}") as response:
        assert response.status == status
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_pages_of_this_machine_may_call(chain: DevChain, http: aiohttp.ClientSession) -> None:
    origin = {"Origin": "http://localhost:3000"}
    async with http.options(url(chain), headers=origin) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
        assert response.headers["Access-Control-Allow-Headers"] == "content-type"
    async with http.post(url(chain), json=call("system_chain"), headers=origin) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    async with Client.of(chain, headers=origin) as client:
        assert await client.call("system_chain")


@pytest.mark.parametrize("headers", [{"Origin": "https://example.org"}, {"Host": "rebound.example.org:9944"}])
async def test_pages_of_others_get_no_websocket(chain: DevChain, headers: dict[str, str]) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with Client.of(chain, headers=headers):
            pass
    assert caught.value.status == 403


async def test_a_request_has_a_size(start_chain: StartChain, http: aiohttp.ClientSession) -> None:
    chain = await start_chain(rpc=RpcLimits(request_bytes=1000))
    status, answer = await posted(http, chain, call("system_chain", "x" * 1000))
    assert (status, answer["error"]["code"]) == (413, -32007)

    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with http.post(url(chain), data=in_pieces(), headers={"Content-Type": "application/json"}) as response:
        assert response.status == 413
    async with Client.of(chain) as client:
        await client.socket.send_json(call("system_chain", "x" * 1000))
        closed = await client.socket.receive()
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.MESSAGE_TOO_BIG)
    await alive(chain)


async def test_a_batch_has_a_length(start_chain: StartChain) -> None:
    chain = await start_chain(rpc=RpcLimits(batch=3))
    async with Client.of(chain) as client:
        assert len(await client.answer([call("system_chain")] * 3)) == 3
        assert (await client.answer([call("system_chain")] * 4))["error"]["code"] == -32010


async def test_an_answer_has_a_size(start_chain: StartChain) -> None:
    chain = await start_chain(rpc=RpcLimits(response_bytes=20_000))
    async with Client.of(chain) as client:
        code_key = f"0x{b':code'.hex()}"
        for method, params in (
            ("state_getMetadata", []),
            ("state_getStorage", [code_key]),
            ("state_queryStorageAt", [[code_key]]),
            ("state_subscribeStorage", [[code_key]]),
        ):
            assert (await client.answer(call(method, *params)))["error"]["code"] == -32008
        versions = await client.answer([call("state_getRuntimeVersion")] * 100)
        assert versions["error"]["code"] == -32011
        assert await client.call("system_chain")


async def test_subscriptions_whose_identifiers_are_lost_are_closed(start_chain: StartChain) -> None:
    chain = await start_chain(rpc=RpcLimits(response_bytes=20_000, subscriptions=1))
    async with Client.of(chain) as client:
        lost = await client.answer([call("chain_subscribeNewHeads"), *[call("state_getRuntimeVersion")] * 99])
        assert lost["error"]["code"] == -32011
        heads = await client.call("chain_subscribeNewHeads")  # there is room again
        await client.next(heads)
        await client.call("engine_createBlock", True, True)
        await client.next(heads)
        assert client.subscriptions() == {heads}


async def test_a_connection_has_a_number_of_subscriptions(start_chain: StartChain) -> None:
    chain = await start_chain(rpc=RpcLimits(subscriptions=2, subscribed_keys=3))
    async with Client.of(chain) as client:
        watch = await client.call("state_subscribeStorage", ["0x00", "0x01"])
        assert (await client.answer(call("state_subscribeStorage", ["0x02", "0x03"])))["error"]["code"] == -32006
        await client.call("chain_subscribeNewHeads")
        assert (await client.answer(call("chain_subscribeNewHeads")))["error"]["code"] == -32006
        await client.call("state_unsubscribeStorage", watch)
        await client.call("state_subscribeStorage", ["0x02", "0x03"])


async def test_a_connection_has_a_rate(start_chain: StartChain) -> None:
    chain = await start_chain(rpc=RpcLimits(calls_per_s=0.001, calls_burst=5))
    async with Client.of(chain) as client:
        answers = await client.answer([call("system_chain")] * 8)
        assert [answer.get("error", {}).get("code") for answer in answers] == [None] * 5 + [-32999] * 3
    await alive(chain)


async def test_the_rate_counts_all_requests_of_a_connection(start_chain: StartChain) -> None:
    chain = await start_chain(rpc=RpcLimits(calls_per_s=0.001, calls_burst=2))
    body = json.dumps(call("system_chain")).encode()
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    last = head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    answer = await raw(chain, (head + b"Content-Length: %d\r\n\r\n" % len(body) + body) * 2 + last)
    assert answer.count(b"Peerz Development") == 2
    assert answer.count(b"RPC rate limit exceeded") == 1


async def test_there_is_a_number_of_connections(start_chain: StartChain) -> None:
    chain = await start_chain(rpc=RpcLimits(connections=2))
    async with Client.of(chain), Client.of(chain) as second:
        assert (await raw(chain, b"GET / HTTP/1.1\r\n")).startswith(b"HTTP/1.1 503 ")
        assert await second.call("system_chain")
    await alive(chain)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET / HT",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nX-",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    ],
)
async def test_who_connects_and_stands_still_is_dropped(start_chain: StartChain, start: bytes) -> None:
    chain = await start_chain(rpc=RpcLimits(connections=1, request_s=0.2))
    answer = await raw(chain, start)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
    await alive(chain)


async def test_an_idle_connection_is_dropped_after_its_answer(start_chain: StartChain) -> None:
    chain = await start_chain(rpc=RpcLimits(request_s=0.2))
    body = json.dumps(call("system_chain")).encode()
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = await raw(chain, head + b"Content-Length: %d\r\n\r\n" % len(body) + body + b"POST / HT")
    assert answer.count(b"HTTP/1.1 200 ") == 1


async def test_a_websocket_that_answers_no_ping_is_dropped(start_chain: StartChain) -> None:
    chain = await start_chain(rpc=RpcLimits(ping_s=0.2, connections=1))
    async with Client.of(chain, autoping=False) as client:
        await client.call("chain_subscribeNewHeads")
        async with asyncio.timeout(WAIT_S):
            while (await client.socket.receive()).type not in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE):
                pass
    await alive(chain)


async def test_pings_are_answered_and_silence_is_no_crime(start_chain: StartChain) -> None:
    chain = await start_chain(rpc=RpcLimits(ping_s=0.1))
    async with Client.of(chain) as client:
        heads = await client.call("chain_subscribeNewHeads")
        await client.next(heads)
        await client.socket.ping(b"x")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.socket.receive()
        assert await client.call("system_chain")


async def test_a_call_that_takes_long_does_not_end_its_connection(start_chain: StartChain) -> None:
    chain = await start_chain(rpc=RpcLimits(ping_s=0.05))
    async with Client.of(chain) as client:
        slow = asyncio.create_task(chain.on_chain(lambda backend: time.sleep(0.5)))
        assert (await client.call("chain_getHeader"))["number"] == "0x0"
        await slow


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 200,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-Header: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n",
    ],
    ids=range(8),
)
async def test_garbage_harms_nobody_else(start_chain: StartChain, data: bytes) -> None:
    chain = await start_chain(rpc=RpcLimits(request_s=0.2))
    answer = await raw(chain, data)
    assert b" 200 " not in answer
    await alive(chain)


async def test_frames_that_break_the_protocol_end_the_connection(chain: DevChain) -> None:
    handshake = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    for frames in (
        b"\xff" * 50,  # reserved bits
        b"\x81\xff" + b"\xff" * 8 + b"\0" * 8,  # a length of 2^64 - 1
        b"\x81\x84\0\0\0\0\xff\xff\xff\xff",  # text that is no UTF-8
    ):
        answer = await raw(chain, handshake + frames)
        assert answer.startswith(b"HTTP/1.1 101 ")
    await alive(chain)


async def test_a_flood_of_one_leaves_room_for_another(chain: DevChain) -> None:
    """Hundreds of blocks are asked for at once: others are answered between two, and none is made for who has left."""
    asked = 400
    async with Client.of(chain) as other:
        async with Client.of(chain) as flooding:
            for index in range(asked):
                await flooding.socket.send_json(call("engine_createBlock", True, True, id_=index))
            assert int((await other.call("chain_getHeader"))["number"], 16) < asked // 2
        reached = int((await other.call("chain_getHeader"))["number"], 16)
        await other.call("engine_createBlock", True, True)
        assert int((await other.call("chain_getHeader"))["number"], 16) <= reached + 3


async def test_a_client_that_takes_nothing_is_dropped(start_chain: StartChain) -> None:
    """It subscribes, and never reads again: others are served, and its connection ends."""
    chain = await start_chain(rpc=RpcLimits(send_s=0.3, queued_messages=16, connections=2))
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(lazy, ("127.0.0.1", chain.port))
    reader, writer = await asyncio.open_connection(sock=lazy, limit=1024)
    try:
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        for index in range(60):
            body = json.dumps(call("state_getMetadata", id_=index)).encode()
            writer.write(bytes((0x81, 0x80 | len(body), 0, 0, 0, 0)) + body)
        # The only other place is free again and again; the lazy one's comes free when it is dropped.
        async with asyncio.timeout(WAIT_S), Client.of(chain):
            while True:
                try:
                    async with Client.of(chain) as second:
                        assert await second.call("system_chain")
                        break
                except aiohttp.WSServerHandshakeError as error:
                    if error.status != 503:
                        raise
                    await asyncio.sleep(0.05)
    finally:
        writer.close()


async def test_closing_ends_connections(start_chain: StartChain) -> None:
    chain = await start_chain()
    async with Client.of(chain) as client:
        await client.call("chain_subscribeNewHeads")
        await client.receive()
        closing = asyncio.create_task(chain.close())
        async with asyncio.timeout(WAIT_S):
            assert (await client.socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            await closing
    with pytest.raises(aiohttp.ClientConnectorError):
        await alive(chain)
