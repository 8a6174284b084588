"""What the tests of the provider's service share: terms, requests, steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
import torch
from hivemind.p2p import P2P, PeerID

from compute.models.sources import ModelFiles
from compute.server.terms import ServedTerms
from compute.types import Codec, Row, SessionId, Span, StepHeader, WireDType
from compute.wire.codecs import EncodedTensor
from compute.wire.frames import STREAM_PROTOCOL, frame, read_frame
from compute.wire.messages import (
    ClientMessage,
    Heartbeat,
    ServerMessage,
    SessionOpen,
    StepMessage,
    build_client_message,
    parse_server_message,
)

WIDTH = 8
REPLY_TIMEOUT_S = 10.0
M = TypeVar("M")


@pytest.fixture
def terms() -> ServedTerms:
    return ServedTerms(
        provider_key=b"p" * 32,
        network_id=bytes(32),
        model_root=b"m" * 32,
        span=Span(2, 6),
        width=WIDTH,
        quant_spec="fp32",
        numeric_profile="fp32/fp32/fp32",
        kernel_class="cpu",
        codecs=frozenset({Codec.RAW, Codec.BLOCK8}),
        dtypes=frozenset({WireDType.FP32}),
        lanes_max=4,
        context_max=256,
        step_tokens_max=32,
        message_bytes_max=1 << 16,
    )


@pytest.fixture
def request_of(terms: ServedTerms) -> Callable[..., SessionOpen]:
    """Builds a SessionOpen that the terms allow, with fields replaced."""

    def build(**changes: Any) -> SessionOpen:
        request = SessionOpen(
            session_id=SessionId(b"s" * 16),
            client_key=b"c" * 32,
            provider_key=terms.provider_key,
            network_id=terms.network_id,
            model_root=terms.model_root,
            span=terms.span,
            codec=Codec.RAW,
            dtype=WireDType.FP32,
            lanes=2,
            max_tokens=64,
        )
        return replace(request, **changes)

    return build


@pytest.fixture
def step_of() -> Callable[..., StepMessage]:
    """Builds a step of zeros for rows, with fields of its tensor replaced."""

    def build(
        seq: int, rows: tuple[Row, ...] = (Row(0, 0, 3),), fork: tuple[int, ...] = (), **changes: Any
    ) -> StepMessage:
        header = StepHeader(seq, rows, fork)
        data = bytes(4 * WIDTH * min(header.n_tokens, 1000))
        return StepMessage(
            header, replace(EncodedTensor(WireDType.FP32, Codec.RAW, header.n_tokens, WIDTH, data), **changes)
        )

    return build


# ---------------------------------------------------------------- over libp2p


@dataclass
class Answer:
    """What an engine's step returns, as far as the handler looks."""

    hidden: torch.Tensor
    compute_s: float = 0.001
    queue_s: float = 0.0


@dataclass
class Stats:
    queued_tokens: int = 3
    cache_bytes_used: int = 100
    cache_bytes_budget: int = 1000


class ScriptedEngine:
    """An engine that doubles, waits or fails as the test says, and remembers what it holds."""

    def __init__(self) -> None:
        self.held: set[SessionId] = set()
        self.gate = asyncio.Event()  # steps wait for it
        self.gate.set()
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.failures: list[BaseException] = []

    async def open(self, session: SessionId, client: str, span: Span, lanes: int, max_tokens: int) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.held.add(session)

    async def step(self, session: SessionId, header: StepHeader, hidden: torch.Tensor) -> Answer:
        self.started.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.failures:
            raise self.failures.pop(0)
        return Answer(hidden * 2)

    def close(self, session: SessionId) -> None:
        self.held.discard(session)

    def stats(self) -> Stats:
        return Stats()


@dataclass
class Probe:
    """A client that says whatever a test wants, on a real stream."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    beats: list[Heartbeat] = field(default_factory=list)

    async def send(self, message: ClientMessage) -> None:
        await self.send_raw(frame(build_client_message(message)))

    async def send_raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self) -> ServerMessage | None:
        """The next message, or None at the end of the stream."""
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            body = await read_frame(self.reader, 32 << 20)
        return None if body is None else parse_server_message(body)

    async def expect(self, kind: type[M]) -> M:
        """The next message that is no heartbeat, which must be a `kind`."""
        while isinstance(message := await self.receive(), Heartbeat) and kind is not Heartbeat:
            self.beats.append(message)
        assert isinstance(message, kind), message
        return message

    async def expect_end(self) -> None:
        """Nothing but heartbeats comes before the end."""
        while (message := await self.receive()) is not None:
            assert isinstance(message, Heartbeat), message

    def close(self) -> None:
        self.writer.close()


async def eventually(holds: Callable[[], bool], within_s: float = 1.0) -> None:
    """Returns as soon as `holds`; fails when it does not within the time."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - conditions of other objects, which set no event
            await asyncio.sleep(0.005)


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    return eventually


@pytest_asyncio.fixture
async def p2p_of() -> AsyncIterator[Callable[..., Any]]:
    """Makes libp2p nodes on loopback that end with the test."""
    nodes: list[P2P] = []

    async def make(*peers: P2P, addresses: Sequence[str] = ()) -> P2P:
        visible = [str(address) for peer in peers for address in await peer.get_visible_maddrs()]
        node = await P2P.create(
            initial_peers=[*addresses, *visible],
            host_maddrs=["/ip4/127.0.0.1/tcp/0"],
            nat_port_map=False,
            auto_nat=False,
            use_relay=False,
        )
        nodes.append(node)
        return node

    yield make
    for node in reversed(nodes):
        await node.shutdown()


@pytest_asyncio.fixture
async def probe() -> AsyncIterator[Callable[..., Any]]:
    """Opens session streams from one node to another; they are closed with the test."""
    probes: list[Probe] = []

    async def open_stream(client: P2P, provider: PeerID) -> Probe:
        _, reader, writer = await client.call_binary_stream_handler(provider, STREAM_PROTOCOL)
        probes.append(Probe(reader, writer))
        return probes[-1]

    yield open_stream
    for stream in probes:
        stream.close()


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


# ---------------------------------------------------------------- a real model


@pytest.fixture
def tiny_llama(saved: Callable[[str], ModelFiles]) -> Path:
    """Directory of a random Llama with 4 blocks of width 32."""
    return saved("llama").directory
