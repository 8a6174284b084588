"""Providers that speak the real wire and do what a test tells them to."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from toy_blocks import ToyBlocks

from compute.errors import ErrorCode
from compute.identity import NodeKey
from compute.types import NONCE_BYTES, PeerId, Span
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
from compute.wire.receipts import ReceiptIssuer, SessionIdentity, StepReceipt, receipt_session_id

HEARTBEAT_S = 0.4


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
    lies: Callable[[FakeStream, StepOutput], None] | None = None
    """Called after every answer, with what was answered."""

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


class Incoming(Protocol):
    """Where what the provider says goes: the client's `asyncio.StreamReader`, or a real stream to it."""

    def feed_data(self, data: bytes) -> None: ...
    def feed_eof(self) -> None: ...


class FakeStream:
    """One stream, as the writer of the client and as the provider behind it."""

    def __init__(self, provider: FakeProvider, reader: Incoming) -> None:
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
        nonce = provider.opened.to_bytes(NONCE_BYTES)
        session_id = receipt_session_id(request.session_id, nonce)
        self._identity = SessionIdentity(
            session_id, request.provider_key, request.network_id, request.model_root, request.span
        )
        self._issuer = ReceiptIssuer(self._identity, key)
        provider.opened += 1
        beat_ms = round(HEARTBEAT_S * 1000)
        self.say(
            SessionOpened(request.session_id, "fp32", "", "cpu", beat_ms, provider.step_tokens_max, 1 << 20, nonce)
        )

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
        output = StepOutput(header.seq, out, receipt, round(self.provider.compute_s * 1e6), 0)
        self.say(output)
        if self.provider.lies is not None:
            self.provider.lies(self, output)

    def signed(self, receipt: StepReceipt, **changes: Any) -> StepReceipt:
        """The receipt with other content, signed by the provider's own key like a true one."""
        changed = replace(receipt, **changes)
        return replace(changed, signature=self.provider.key.sign(changed.payload(self._identity)))
