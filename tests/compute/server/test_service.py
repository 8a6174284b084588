"""The service over real libp2p with the real engine: what a client gets is what the stock model computes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch

from compute.errors import ErrorCode
from compute.identity import NodeKey
from compute.models.loading import load_local_model, load_span
from compute.models.sources import resolve
from compute.runner.engine import Engine, EngineOptions
from compute.server.service import SessionService
from compute.server.service_options import ServiceOptions
from compute.server.terms import ServedTerms
from compute.types import Codec, Row, SessionId, Span, StepHeader, WireDType
from compute.wire.codecs import decode, encode
from compute.wire.frames import STREAM_PROTOCOL, frame
from compute.wire.messages import (
    Refusal,
    SessionOpen,
    SessionOpened,
    StepAck,
    StepMessage,
    StepOutput,
    build_client_message,
)

Build = Callable[..., Any]
KEY = NodeKey(b"k" * 32)
SPAN = Span(1, 3)


@dataclass
class Swarm:
    provider: Any
    client: Any
    engine: Engine
    service: SessionService
    terms: ServedTerms
    probe: Build

    def request(self, session_id: bytes, **changes: Any) -> SessionOpen:
        fields: dict[str, Any] = {
            "session_id": SessionId(session_id * 16),
            "client_key": b"c" * 32,
            "provider_key": KEY.public_key,
            "network_id": bytes(32),
            "model_root": self.terms.model_root,
            "span": SPAN,
            "codec": Codec.RAW,
            "dtype": WireDType.FP32,
            "lanes": 2,
            "max_tokens": 128,
        }
        return SessionOpen(**{**fields, **changes})

    async def open(self, session_id: bytes, **changes: Any) -> Any:
        stream = await self.probe(self.client, self.provider.peer_id)
        await stream.send(self.request(session_id, **changes))
        await stream.expect(SessionOpened)
        return stream


async def step(stream: Any, seq: int, hidden: torch.Tensor, *rows: Row, fork: tuple[int, ...] = ()) -> torch.Tensor:
    sent = encode(hidden, Codec.RAW, WireDType.FP32)
    await stream.send(StepMessage(StepHeader(seq, rows, fork), sent))
    await stream.expect(StepAck)
    output: torch.Tensor = decode((await stream.expect(StepOutput)).hidden)
    return output


@pytest.fixture
def cache_bytes() -> int:
    return 1 << 22


@pytest_asyncio.fixture
async def swarm(tiny_llama: Path, cache_bytes: int, p2p_of: Build, probe: Build) -> AsyncIterator[Swarm]:
    loaded = load_span(resolve(str(tiny_llama)), SPAN)
    engine = Engine(loaded, EngineOptions(cache_bytes=cache_bytes, cache_wait_s=0.05))
    await engine.start()
    terms = ServedTerms(
        provider_key=KEY.public_key,
        network_id=bytes(32),
        model_root=loaded.model_root,
        span=SPAN,
        width=loaded.width,
        quant_spec=loaded.quant_spec,
        numeric_profile=loaded.numeric_profile,
        kernel_class="cpu",
        codecs=frozenset(Codec),
        dtypes=frozenset({WireDType.FP32}),
        lanes_max=4,
        context_max=256,
        step_tokens_max=128,
        message_bytes_max=1 << 16,
    )
    service = SessionService(engine, terms, KEY, ServiceOptions(linger_s=0.2))
    provider = await p2p_of()
    await provider.add_binary_stream_handler(STREAM_PROTOCOL, service.handle)
    yield Swarm(provider, await p2p_of(provider), engine, service, terms, probe)
    await service.close()
    assert engine.stats().cache_bytes_used == 0
    await engine.stop()


@pytest.fixture
def states(tiny_llama: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states of the stock model for 24 tokens, before and after the span: each `[24, width]`."""
    model = load_local_model(resolve(str(tiny_llama)))
    ids = torch.randint(0, 64, (1, 24), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        hidden = model(ids, output_hidden_states=True).hidden_states
    return hidden[SPAN.start][0], hidden[SPAN.end][0]


def assert_close(got: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


async def test_prefill_decode_roll_back_and_forks_equal_the_stock_model(
    swarm: Swarm, states: tuple[torch.Tensor, torch.Tensor]
) -> None:
    before, after = states
    stream = await swarm.open(b"a")
    assert_close(await step(stream, 0, before[:10], Row(0, 0, 10)), after[:10])
    for seq, position in enumerate(range(10, 16), start=1):
        assert_close(
            await step(stream, seq, before[position : position + 1], Row(0, position, 1)), after[position][None]
        )
    assert_close(await step(stream, 7, before[4:8], Row(0, 4, 4)), after[4:8])  # rolled back to 4
    twice = torch.cat([before[8:9], before[8:10]])
    got = await step(stream, 8, twice, Row(0, 8, 1), Row(1, 8, 2), fork=(0, 0))
    assert_close(got, torch.cat([after[8:9], after[8:10]]))


async def test_many_sessions_at_once_each_get_their_own_answer(
    swarm: Swarm, states: tuple[torch.Tensor, torch.Tensor]
) -> None:
    before, after = states

    async def client(n: int) -> None:
        stream = await swarm.open(bytes([n]))
        start = n + 2
        assert_close(await step(stream, 0, before[:start], Row(0, 0, start)), after[:start])
        for seq, position in enumerate(range(start, 20), start=1):
            assert_close(
                await step(stream, seq, before[position : position + 1], Row(0, position, 1)), after[position][None]
            )

    await asyncio.gather(*(client(n) for n in range(6)))


async def test_a_position_above_the_length_is_a_bad_request(
    swarm: Swarm, states: tuple[torch.Tensor, torch.Tensor]
) -> None:
    stream = await swarm.open(b"a")
    await stream.send(StepMessage(StepHeader(0, (Row(0, 5, 1),)), encode(states[0][:1], Codec.RAW, WireDType.FP32)))
    await stream.expect(StepAck)
    refusal = await stream.expect(Refusal)
    assert refusal.code is ErrorCode.BAD_REQUEST
    assert "position 5" in refusal.message


async def test_infinite_values_are_refused_and_other_sessions_go_on(
    swarm: Swarm, states: tuple[torch.Tensor, torch.Tensor]
) -> None:
    before, after = states
    good, bad = await swarm.open(b"a"), await swarm.open(b"b")
    poison = torch.full((4, swarm.terms.width), float("nan"))
    await bad.send(StepMessage(StepHeader(0, (Row(0, 0, 4),)), encode(poison, Codec.RAW, WireDType.FP32)))
    assert_close(await step(good, 0, before[:10], Row(0, 0, 10)), after[:10])
    await bad.expect(StepAck)
    assert (await bad.expect(Refusal)).code is ErrorCode.BAD_REQUEST
    assert_close(await step(good, 1, before[10:11], Row(0, 10, 1)), after[10:11])


@pytest.mark.parametrize("cache_bytes", [64 * 2 * 2 * 2 * 8 * 4])  # 64 tokens
async def test_a_full_cache_refuses_the_step_until_another_session_leaves(
    swarm: Swarm, states: tuple[torch.Tensor, torch.Tensor], eventually: Build
) -> None:
    before, after = states
    holder, waiting = await swarm.open(b"a"), await swarm.open(b"b")
    assert_close(await step(holder, 0, before, Row(0, 0, 24)), after)
    sent = StepMessage(StepHeader(0, (Row(0, 0, 24),)), encode(before, Codec.RAW, WireDType.FP32))
    await waiting.send(sent)
    await waiting.expect(StepAck)
    refusal = await waiting.expect(Refusal)
    assert refusal.code is ErrorCode.CACHE_FULL
    assert refusal.retry_after_ms > 0
    holder.close()
    await eventually(lambda: swarm.engine.stats().cache_bytes_used == 0)
    assert_close(await step(waiting, 0, before, Row(0, 0, 24)), after)


async def test_the_cache_of_a_client_that_goes_away_is_free_within_a_second(
    swarm: Swarm, states: tuple[torch.Tensor, torch.Tensor], eventually: Build
) -> None:
    stream = await swarm.open(b"a")
    await step(stream, 0, states[0], Row(0, 0, 24))
    assert swarm.engine.stats().cache_bytes_used > 0
    stream.close()
    await eventually(lambda: swarm.engine.stats().cache_bytes_used == 0, within_s=1.0)


_CLIENT = """
import asyncio, sys
from hivemind.p2p import P2P, PeerID

async def main(address, peer, protocol):
    p2p = await P2P.create(initial_peers=[address], host_maddrs=["/ip4/127.0.0.1/tcp/0"], nat_port_map=False,
                           auto_nat=False, use_relay=False)
    _, reader, writer = await p2p.call_binary_stream_handler(PeerID.from_base58(peer), protocol)
    for line in sys.stdin:
        message, _, answers = line.partition(" ")
        writer.write(bytes.fromhex(message))
        for _ in range(int(answers)):
            await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
    print("answered", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.e2e
async def test_the_cache_of_a_client_that_is_killed_is_free_within_a_second(
    swarm: Swarm, states: tuple[torch.Tensor, torch.Tensor], eventually: Build
) -> None:
    address = str((await swarm.provider.get_visible_maddrs())[0])
    peer = swarm.provider.peer_id.to_base58()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CLIENT, address, peer, STREAM_PROTOCOL,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    hidden = encode(states[0], Codec.RAW, WireDType.FP32)
    opening, stepping = (
        frame(build_client_message(message)).hex()
        for message in (swarm.request(b"k"), StepMessage(StepHeader(0, (Row(0, 0, 24),)), hidden))
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{opening} 1\n{stepping} 2\n".encode())  # SessionOpened; StepAck and StepOutput
    process.stdin.write_eof()
    assert (await asyncio.wait_for(process.stdout.readline(), 60)).strip() == b"answered"
    assert swarm.engine.stats().cache_bytes_used > 0
    process.kill()
    await eventually(lambda: swarm.engine.stats().cache_bytes_used == 0, within_s=1.0)
    await process.wait()
