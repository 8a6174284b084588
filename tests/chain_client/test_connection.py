"""What a node may answer: anything. The client gives a value, or one of its errors, within bounds of bytes and time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from substrateinterface.exceptions import SubstrateRequestException

from chain_client.bounded_socket import BoundedWebSocket
from chain_client.client import ChainClient
from chain_client.connection import ConnectionOptions, refusal
from chain_client.errors import (
    AnswerTooLarge,
    ChainChanged,
    ChainError,
    MalformedAnswer,
    NodeRefused,
    NodeUnreachable,
    StatePruned,
)

Answer = Callable[[dict[str, Any]], Any]
Serve = Callable[[Answer], Awaitable[str]]
OPTIONS = ConnectionOptions(timeout_s=2, attempts=2, backoff_s=0.01)
GENESIS = "0x" + "11" * 32


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a node whose answers are what a function makes of the requests: a result, raw text, or an exception."""
    servers = []

    async def start(answer: Answer) -> str:
        async def handle(socket: Any) -> None:
            async for message in socket:
                request = json.loads(message)
                made = answer(request)
                if isinstance(made, str) and made.startswith("RAW"):
                    await socket.send(made[3:])
                elif made is None:
                    await socket.close()
                else:
                    await socket.send(json.dumps({"jsonrpc": "2.0", "id": request["id"], **made}))

        server = await websockets.serve(handle, "127.0.0.1", 0, max_size=None, close_timeout=0.1)
        servers.append(server)
        return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


def _with_genesis(rest: Answer) -> Answer:
    """A node that names its genesis and answers all else with `rest`."""
    return lambda request: {"result": GENESIS} if request["params"] == [0] else rest(request)


async def test_an_answer_beyond_the_limit_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedWebSocket, "bytes_max", 1 << 20)
    url = await serve(_with_genesis(lambda request: {"result": "0x" + "00" * (4 << 20)}))
    async with ChainClient(url, OPTIONS) as client:
        with pytest.raises(AnswerTooLarge, match="use another node"):
            await client.query.head()
        assert await client.query.genesis() == bytes.fromhex(GENESIS[2:])


async def test_an_answer_that_drips_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedWebSocket, "seconds_max", -1.0)
    url = await serve(lambda request: {"result": GENESIS})
    async with ChainClient(url, OPTIONS) as client:
        with pytest.raises(AnswerTooLarge):
            await client.query.head()


async def test_silence_is_a_lost_connection(serve: Serve) -> None:
    url = await serve(lambda request: "RAW{}")
    async with ChainClient(url, ConnectionOptions(timeout_s=0.1, attempts=2, backoff_s=0.01)) as client:
        with pytest.raises(NodeUnreachable):
            await client.query.head()


async def test_a_closed_connection_is_opened_again_and_then_given_up(serve: Serve) -> None:
    asked = []

    def answer(request: dict[str, Any]) -> Any:
        asked.append(request["method"])
        return None if len(asked) < 2 else {"result": GENESIS}

    async with ChainClient(await serve(answer), OPTIONS) as client:
        assert await client.query.head() == bytes.fromhex(GENESIS[2:])
    async with ChainClient(await serve(lambda request: None), OPTIONS) as client:
        with pytest.raises(NodeUnreachable):
            await client.query.head()


async def test_another_genesis_behind_the_address_is_noticed(serve: Serve) -> None:
    genesis = iter([GENESIS, GENESIS, "0x" + "22" * 32])

    def answer(request: dict[str, Any]) -> Any:
        return {"result": next(genesis)} if request["params"] == [0] else None

    async with ChainClient(await serve(answer), OPTIONS) as client:
        await client.query.genesis()
        with pytest.raises(ChainChanged, match="another chain"):
            await client.query.head()


@pytest.mark.parametrize(
    "made",
    [
        "RAWnot json",
        "RAW" + "[" * 100_000,
        {"result": None},
        {"result": 7},
        {"result": {"number": "0x"}},
        {"result": [GENESIS]},
        {"result": "0xzz"},
        {},
    ],
)
async def test_nonsense_is_called_nonsense(serve: Serve, made: Any) -> None:
    async with ChainClient(await serve(_with_genesis(lambda request: made)), OPTIONS) as client:
        for question in (client.query.head, client.query.parameters, client.query.role_views, client.query.votes):
            with pytest.raises(MalformedAnswer):
                await question()


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=10) | st.just("0x00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(result=_json, error=st.none() | _json)
def test_no_answer_gives_anything_but_a_value_or_our_error(result: Any, error: Any) -> None:
    async def ask() -> None:
        async def handle(socket: Any) -> None:
            async for message in socket:
                request = json.loads(message)
                body = {"result": GENESIS} if request["params"] == [0] else {"result": result}
                if error is not None and request["params"] != [0]:
                    body = {"error": error}
                await socket.send(json.dumps({"id": request["id"], **body}))

        async with websockets.serve(handle, "127.0.0.1", 0, close_timeout=0.1) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with ChainClient(f"ws://127.0.0.1:{port}", OPTIONS) as client:
                for question in (client.query.finalised, client.query.current_epoch):
                    try:
                        await question()
                    except ChainError:
                        continue

    asyncio.run(ask())


def test_json_rpc_errors_keep_their_code_and_say_whether_the_state_is_gone() -> None:
    error = refusal(SubstrateRequestException({"code": 1014, "message": "Priority is too low", "data": "0x00"}))
    assert (type(error), error.code) == (NodeRefused, 1014)
    assert "Priority is too low: 0x00" in str(error)
    gone = {"code": 4003, "message": "Client error: UnknownBlock: State already discarded for 0x00"}
    assert isinstance(refusal(SubstrateRequestException(gone)), StatePruned)
    for odd in ("text", {}, {"code": "x"}, {"message": "y" * 10_000}, None):
        assert len(str(refusal(SubstrateRequestException(odd)))) < 400


async def test_closing_does_not_wait_for_a_node_that_never_answers() -> None:
    asked = asyncio.Event()
    gone = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    client = ChainClient(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", ConnectionOptions(timeout_s=30))
    question = asyncio.create_task(client.query.head())
    await asyncio.wait_for(asked.wait(), 10)
    question.cancel()
    async with asyncio.timeout(5):
        await client.close()
        await client.close()
    gone.set()
    server.close()
    await server.wait_closed()
