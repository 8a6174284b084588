"""A swarm in virtual time: scripted providers that speak the real wire, and a loop whose clock jumps ahead."""

from __future__ import annotations

import asyncio
import random
import selectors
import struct
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from compute.client.contracts import ANY_PROFILE, HopTarget, Profile, SessionOptions, SessionTerms
from compute.client.failover import Suspects
from compute.client.session import InferenceSession
from compute.errors import ErrorCode, LinkLost, NoRoute
from compute.identity import NO_CHAIN, NodeKey
from compute.types import Codec, PeerId, Row, Span
from compute.wire.codecs import decode, encode, tensor_hash
from compute.wire.frames import frame
from compute.wire.messages import (
    Heartbeat,
    Keepalive,
    Refusal,
    ServerMessage,
    SessionClose,
    SessionOpen,
    SessionOpened,
    StepAck,
    StepMessage,
    StepOutput,
    build_server_message,
    parse_client_message,
)
from compute.wire.receipts import ReceiptIssuer, SessionIdentity

WIDTH = 8
N_BLOCKS = 6
ROOT = b"r" * 32
HEARTBEAT_S = 0.4


# ---------------------------------------------------------------- virtual time


class _JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: whatever the loop would wait, its clock jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise RuntimeError("every task waits for something that will never happen")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


@pytest.fixture
def in_virtual_time() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine on a loop of its own, in virtual time."""

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(work)

    return run


# ---------------------------------------------------------------- toy blocks


class ToyBlocks:
    """Blocks whose outputs depend on every token before, and not on how tokens are cut into steps."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.lanes: list[list[list[torch.Tensor]]] = []

    def lengths(self) -> list[int]:
        return [len(lane[0]) for lane in self.lanes]

    def step(self, rows: Sequence[Row], fork: Sequence[int], hidden: torch.Tensor) -> torch.Tensor:
        if fork:
            self.lanes = [[list(block) for block in self.lanes[source]] for source in fork]
        while rows and len(self.lanes) <= max(row.lane for row in rows):
            self.lanes.append([[] for _ in range(len(self.span))])
        outputs = [torch.empty(0, WIDTH)]
        for row, tokens in zip(rows, hidden.split([row.n_tokens for row in rows]) if rows else (), strict=True):
            lane = self.lanes[row.lane]
            assert row.position <= len(lane[0]), "a position beyond the lane"
            for block in lane:
                del block[row.position :]
            outputs.extend(self._token(lane, token)[None] for token in tokens)
        return torch.cat(outputs)

    def _token(self, lane: list[list[torch.Tensor]], token: torch.Tensor) -> torch.Tensor:
        for index, inputs in enumerate(lane):
            inputs.append(token)
            weights = torch.arange(1, len(inputs) + 1, dtype=torch.float32)
            context = (torch.stack(inputs) * weights[:, None]).sum(0) / weights.sum()
            token = torch.tanh(token.roll(1) + 0.7 * context + 0.1 * (self.span.start + index))
        return token


# ---------------------------------------------------------------- scripted providers


@dataclass
class FakeProvider:
    """A provider that does what `mood` says from now on.

    ok; dead: no stream, and streams end; silent: takes everything in and says nothing; deaf: hears nothing and goes on
    beating; stuck: acknowledges, beats, never answers; hung: acknowledges and freezes; liar: signs another hash;
    twisted: receipts of another key; garbage; internal; full: refuses steps `refusals` times; draining: says so.
    """

    key: NodeKey
    span: Span
    mood: str = "ok"
    refusals: int = 0
    compute_s: float = 0.02
    step_tokens_max: int = 16
    lanes_max: int = 64
    leaves: bool = False
    streams: list[FakeStream] = field(default_factory=list)
    opened: int = 0
    steps: int = 0
    fails_at_step: int = -1
    fails_as: str = ""

    @property
    def peer(self) -> PeerId:
        return self.key.peer_id

    @property
    def open_streams(self) -> int:
        return sum(not stream.ended for stream in self.streams)

    def become(self, mood: str) -> None:
        self.mood = mood
        if mood == "dead":
            for stream in self.streams:
                stream.end()
        if mood == "draining":
            for stream in self.streams:
                stream.say(Heartbeat(0, 1, True))


class FakeStream:
    """One stream, as the writer of the client and as the provider behind it."""

    def __init__(self, provider: FakeProvider, reader: asyncio.StreamReader) -> None:
        self.provider = provider
        self.reader = reader
        self.ended = False
        self.blocks: ToyBlocks | None = None
        self.heard: list[Any] = []
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._issuer: ReceiptIssuer | None = None
        self._busy = False
        self._next_seq = 0

    # the client's writer

    def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 4 and len(self._buffer) >= 4 + (n := struct.unpack(">I", self._buffer[:4])[0]):
            body, self._buffer = self._buffer[4 : 4 + n], self._buffer[4 + n :]
            self._loop.call_later(0.001, self._hear, parse_client_message(body))

    def close(self) -> None:
        self._loop.call_later(0.001, self.end)

    def is_closing(self) -> bool:
        return self.ended

    # the provider

    def say(self, message: ServerMessage) -> None:
        self.say_raw(build_server_message(message))

    def say_raw(self, body: bytes) -> None:
        if not self.ended and self.provider.mood not in ("silent", "dead"):
            self.reader.feed_data(frame(body))

    def end(self) -> None:
        if not self.ended:
            self.ended = True
            self.reader.feed_eof()

    def _hear(self, message: Any) -> None:
        if self.ended or self.provider.mood in ("silent", "dead", "deaf"):
            return
        self.heard.append(message)
        match message:
            case SessionOpen():
                self._open(message)
            case StepMessage():
                self._take_step(message)
            case Keepalive():
                self.say(Heartbeat(0, 1, self.provider.mood == "draining"))
            case SessionClose():
                self.end()

    def _open(self, request: SessionOpen) -> None:
        provider = self.provider
        if provider.mood == "draining":
            self.say(Refusal(ErrorCode.DRAINING, "leaving"))
            self.end()
            return
        assert provider.span.covers(request.span)
        self.request = request
        self.blocks = ToyBlocks(request.span)
        key = NodeKey(b"x" * 32) if provider.mood == "twisted" else provider.key
        identity = SessionIdentity(
            request.session_id, request.provider_key, request.network_id, request.model_root, request.span
        )
        self._issuer = ReceiptIssuer(identity, key)
        provider.opened += 1
        beat_ms = round(HEARTBEAT_S * 1000)
        self.say(SessionOpened(request.session_id, "fp32", "", "cpu", beat_ms, provider.step_tokens_max, 1 << 20))

    def _take_step(self, step: StepMessage) -> None:
        provider = self.provider
        assert not self._busy, "a second step in flight"
        assert step.header.seq == self._next_seq, "a step out of order"
        provider.steps += 1
        if provider.steps - 1 == provider.fails_at_step:
            provider.become(provider.fails_as)
        if provider.mood in ("dead", "silent", "deaf"):
            return
        self.say(StepAck(step.header.seq))
        if provider.refusals:
            provider.refusals -= 1
            self.say(Refusal(ErrorCode.CACHE_FULL, "full", retry_after_ms=300))
            return
        if provider.mood == "internal":
            self.say(Refusal(ErrorCode.INTERNAL, "broken"))
            self.end()
        elif provider.mood == "garbage":
            self.say_raw(b"\xff\xff\xff")
        elif provider.mood == "hung":
            provider.mood = "silent"
        else:
            self._busy = True
            self._beat(self._loop.time() + provider.compute_s, step)

    def _beat(self, until: float, step: StepMessage) -> None:
        """Answers when it is time, and says that it lives until then."""
        stuck = self.provider.mood == "stuck"
        left_s = until - self._loop.time()
        if self.ended:
            return
        if left_s <= 1e-6 and not stuck:
            self._answer(step)
            return
        self.say(Heartbeat(0, 1, False))
        self._loop.call_later(HEARTBEAT_S if stuck else min(HEARTBEAT_S, left_s), self._beat, until, step)

    def _answer(self, step: StepMessage) -> None:
        assert self.blocks is not None
        assert self._issuer is not None
        self._busy = False
        self._next_seq += 1
        header = step.header
        computed = self.blocks.step(header.rows, header.fork, decode(step.hidden).float())
        out = encode(computed, step.hidden.codec, step.hidden.dtype)
        out_hash = bytes(32) if self.provider.mood == "liar" else tensor_hash(out)
        receipt = self._issuer.issue(header, tensor_hash(step.hidden), out_hash)
        self.say(StepOutput(header.seq, out, receipt, round(self.provider.compute_s * 1e6), 0))


class FakeSwarm:
    """Providers in order of preference; plans take, at each block, the first that serves it."""

    def __init__(self) -> None:
        self.providers: list[FakeProvider] = []
        self.newcomers: list[FakeProvider] = []
        self.refreshed = 0
        self.asked_profiles: list[Profile] = []
        self.profile = ANY_PROFILE
        self.codec = Codec.RAW

    def add(self, start: int, end: int, **fields: Any) -> FakeProvider:
        provider = FakeProvider(NodeKey(bytes([len(self.providers) + 1]) * 32), Span(start, end), **fields)
        self.providers.append(provider)
        return provider

    def plan(
        self, within: Span, avoided: Collection[PeerId], tokens: int, profile: Profile = ANY_PROFILE
    ) -> Sequence[HopTarget]:
        self.asked_profiles.append(profile)
        targets: list[HopTarget] = []
        block = within.start
        while block < within.end:
            serving = [p for p in self.providers if block in p.span and p.peer not in avoided]
            if not serving:
                missing = Span(block, within.end)
                raise NoRoute(f"nobody serves blocks {missing}", missing=(missing,))
            span = Span(block, min(serving[0].span.end, within.end))
            targets.append(
                HopTarget(
                    serving[0].peer,
                    span,
                    serving[0].key.public_key,
                    codec=self.codec,
                    rtt_s=0.002,
                    profile=self.profile,
                )
            )
            block = span.end
        return targets

    async def refresh(self) -> None:
        self.refreshed += 1
        self.providers.extend(self.newcomers)
        self.newcomers.clear()

    async def dial(self, peer: PeerId) -> Any:
        provider = next(p for p in self.providers if p.peer == peer)
        if provider.mood == "dead":
            raise LinkLost(f"{peer} cannot be reached", peer=peer)
        reader = asyncio.StreamReader()
        stream = FakeStream(provider, reader)
        provider.streams.append(stream)
        return reader, stream

    @property
    def open_streams(self) -> int:
        return sum(provider.open_streams for provider in self.providers)


@pytest.fixture
def swarm() -> FakeSwarm:
    return FakeSwarm()


def terms_of(**changes: Any) -> SessionTerms:
    fields: dict[str, Any] = {
        "model_root": ROOT,
        "network_id": NO_CHAIN,
        "n_blocks": N_BLOCKS,
        "width": WIDTH,
        "lanes_max": 8,
        "max_tokens": 200,
    }
    return SessionTerms(**{**fields, **changes})


class Twin:
    """A session over the swarm beside the same blocks in this process: every step must give the same values."""

    def __init__(self, swarm: FakeSwarm, lanes: int = 1, seed: int = 0, **options: Any) -> None:
        self.session = InferenceSession(
            swarm, terms_of(), lanes, Suspects(), SessionOptions(**options), random.Random(seed)
        )
        self.reference = ToyBlocks(Span(0, N_BLOCKS))
        self.reference.lanes = [[[] for _ in range(N_BLOCKS)] for _ in range(lanes)]
        self._values = torch.Generator().manual_seed(seed)

    def hidden(self, n_tokens: int) -> torch.Tensor:
        return torch.randn(n_tokens, WIDTH, generator=self._values)

    async def step(self, rows: Sequence[Row], fork: Sequence[int] = ()) -> torch.Tensor:
        hidden = self.hidden(sum(row.n_tokens for row in rows))
        out = await self.session.step(rows, hidden, fork)
        torch.testing.assert_close(out, self.reference.step(rows, fork, hidden), rtol=1e-5, atol=1e-6)
        assert list(self.session.lengths) == self.reference.lengths()
        return out

    async def extend(self, *n_tokens: int, fork: Sequence[int] = ()) -> torch.Tensor:
        """Appends that many tokens to each lane."""
        lengths = [self.session.lengths[source] for source in fork] if fork else self.session.lengths
        return await self.step([Row(i, lengths[i], n) for i, n in enumerate(n_tokens)], fork)


@pytest.fixture
def twin_of() -> type[Twin]:
    return Twin


@pytest.fixture
def session_terms() -> Callable[..., SessionTerms]:
    return terms_of
