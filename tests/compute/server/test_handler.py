"""Session streams over real libp2p, with an engine that does what the test says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
import torch

from compute.client.receipt_check import ReceiptChecker
from compute.errors import CacheFull, ErrorCode
from compute.identity import NodeKey
from compute.server.admission import AdmissionLimits
from compute.server.service import SessionService
from compute.server.service_options import ServiceOptions, SessionTimes
from compute.server.terms import ServedTerms
from compute.types import Codec, PeerId, Row, SessionId, StepHeader, WireDType
from compute.wire.codecs import EncodedTensor, decode, encode, tensor_hash
from compute.wire.frames import STREAM_PROTOCOL, frame
from compute.wire.limits import Pace, WireLimits
from compute.wire.messages import (
    Heartbeat,
    Keepalive,
    Refusal,
    SessionClose,
    SessionOpened,
    StepAck,
    StepMessage,
    StepOutput,
)
from compute.wire.receipts import SessionIdentity, receipt_session_id

Build = Callable[..., Any]
KEY = NodeKey(b"k" * 32)
FAST = ServiceOptions(times=SessionTimes(heartbeat_s=0.05), linger_s=0.2)


@dataclass
class Served:
    """A provider's node with its service, and a client's node."""

    provider: Any
    client: Any
    service: SessionService
    engine: Any
    probe: Build

    async def stream(self) -> Any:
        return await self.probe(self.client, self.provider.peer_id)


@pytest.fixture
def width() -> int:
    return 8


@pytest.fixture
def terms(terms: ServedTerms, width: int) -> ServedTerms:
    return replace(terms, provider_key=KEY.public_key, width=width)


@pytest.fixture
def options() -> ServiceOptions:
    return FAST


@pytest_asyncio.fixture
async def served(
    terms: ServedTerms, engine: Any, options: ServiceOptions, p2p_of: Build, probe: Build
) -> AsyncIterator[Served]:
    provider = await p2p_of()
    client = await p2p_of(provider)
    service = SessionService(engine, terms, KEY, options)
    await provider.add_binary_stream_handler(STREAM_PROTOCOL, service.handle)
    yield Served(provider, client, service, engine, probe)
    engine.gate.set()
    await service.close()
    assert service.n_sessions == 0
    assert not engine.held


@pytest_asyncio.fixture
async def session(served: Served, request_of: Build) -> Any:
    """A probe whose session is open."""
    stream = await served.stream()
    await stream.send(request_of())
    await stream.expect(SessionOpened)
    return stream


def options_with(**limits: Any) -> Any:
    return pytest.mark.parametrize("options", [replace(FAST, admission=AdmissionLimits(**limits))])


# ---------------------------------------------------------------- a good life


async def test_steps_are_acknowledged_answered_and_receipted(
    served: Served, request_of: Build, terms: ServedTerms
) -> None:
    request = request_of(codec=Codec.RAW)
    stream = await served.stream()
    await stream.send(request)
    opened = await stream.expect(SessionOpened)
    assert opened.session_id == request.session_id
    assert (opened.heartbeat_ms, opened.step_tokens_max) == (50, terms.step_tokens_max)
    session_id = receipt_session_id(request.session_id, opened.nonce)
    identity = SessionIdentity(session_id, KEY.public_key, terms.network_id, terms.model_root, request.span)
    checker = ReceiptChecker(identity)
    generator = torch.Generator().manual_seed(1)
    for seq, row in enumerate((Row(0, 0, 3), Row(0, 3, 1), Row(1, 0, 2))):
        hidden = torch.randn(row.n_tokens, terms.width, generator=generator)
        header = StepHeader(seq, (row,))
        sent = encode(hidden, Codec.RAW, WireDType.FP32)
        await stream.send(StepMessage(header, sent))
        assert (await stream.expect(StepAck)).seq == seq
        output = await stream.expect(StepOutput)
        assert torch.equal(decode(output.hidden), hidden * 2)
        checker.check(output.receipt, header, tensor_hash(sent), tensor_hash(output.hidden))
    await stream.send(SessionClose())
    await stream.expect_end()
    assert not served.engine.held


async def test_eight_bit_sessions_get_eight_bit_answers(served: Served, request_of: Build, terms: ServedTerms) -> None:
    stream = await served.stream()
    await stream.send(request_of(codec=Codec.BLOCK8))
    await stream.expect(SessionOpened)
    hidden = torch.ones(2, terms.width)
    await stream.send(StepMessage(StepHeader(0, (Row(0, 0, 2),)), encode(hidden, Codec.BLOCK8, WireDType.FP32)))
    await stream.expect(StepAck)
    output = await stream.expect(StepOutput)
    assert output.hidden.codec is Codec.BLOCK8
    assert torch.allclose(decode(output.hidden), hidden * 2, rtol=1e-2)


async def test_heartbeats_come_while_a_step_is_in_progress(served: Served, session: Any, step_of: Build) -> None:
    served.engine.gate.clear()
    await session.send(step_of(0))
    await session.expect(StepAck)
    for _ in range(3):
        beat = await session.expect(Heartbeat)
        assert (beat.queued_tokens, beat.cache_bytes_free, beat.draining) == (3, 900, False)
    served.engine.gate.set()
    await session.expect(StepOutput)


async def test_a_keepalive_is_answered(session: Any) -> None:
    await session.send(Keepalive())
    await session.expect(Heartbeat)


async def test_large_tensors_do_not_hold_up_the_loop(
    engine: Any, p2p_of: Build, probe: Build, request_of: Build, terms: ServedTerms
) -> None:
    wide = replace(terms, width=4096, step_tokens_max=256, message_bytes_max=8 << 20)
    provider = await p2p_of()
    service = SessionService(engine, wide, KEY, FAST)
    await provider.add_binary_stream_handler(STREAM_PROTOCOL, service.handle)
    stream = await probe(await p2p_of(provider), provider.peer_id)
    await stream.send(request_of(max_tokens=256))
    await stream.expect(SessionOpened)
    hidden = torch.randn(256, 4096)
    await stream.send(StepMessage(StepHeader(0, (Row(0, 0, 256),)), encode(hidden, Codec.RAW, WireDType.FP32)))
    await stream.expect(StepAck)
    assert torch.equal(decode((await stream.expect(StepOutput)).hidden), hidden * 2)
    await service.close()


# ---------------------------------------------------------------- refusals


async def test_a_refused_open_says_which_field_differs(served: Served, request_of: Build) -> None:
    stream = await served.stream()
    await stream.send(request_of(model_root=b"x" * 32))
    refusal = await stream.expect(Refusal)
    assert (refusal.code, refusal.field) == (ErrorCode.BAD_REQUEST, "model_root")
    await stream.expect_end()


async def test_another_span_is_told_what_is_served(served: Served, request_of: Build, terms: ServedTerms) -> None:
    stream = await served.stream()
    await stream.send(request_of(span=replace(terms.span, end=terms.span.end + 1)))
    refusal = await stream.expect(Refusal)
    assert (refusal.code, refusal.span) == (ErrorCode.MOVED, terms.span)


async def test_a_full_cache_refuses_only_the_step(served: Served, session: Any, step_of: Build) -> None:
    served.engine.failures.append(CacheFull("full", retry_after_s=0.25))
    await session.send(step_of(0))
    await session.expect(StepAck)
    refusal = await session.expect(Refusal)
    assert (refusal.code, refusal.retry_after_ms) == (ErrorCode.CACHE_FULL, 250)
    await session.send(step_of(0))
    await session.expect(StepAck)
    assert (await session.expect(StepOutput)).seq == 0


async def test_a_failure_of_the_engine_is_internal_and_keeps_its_secrets(
    served: Served, session: Any, step_of: Build, caplog: pytest.LogCaptureFixture
) -> None:
    served.engine.failures.append(RuntimeError("secret"))
    await session.send(step_of(0))
    await session.expect(StepAck)
    refusal = await session.expect(Refusal)
    assert refusal.code is ErrorCode.INTERNAL
    assert "secret" not in refusal.message
    assert "secret" in caplog.text
    await session.expect_end()


async def test_a_step_that_the_engine_gives_up_is_internal_and_never_hangs(
    served: Served, session: Any, step_of: Build
) -> None:
    served.engine.failures.append(asyncio.CancelledError())
    await session.send(step_of(0))
    await session.expect(StepAck)
    assert (await session.expect(Refusal)).code is ErrorCode.INTERNAL


@pytest.mark.parametrize(
    "raw",
    [
        frame(b"\xff" * 40),
        frame(b""),
        frame(b"\x12\x02\x08\x00"),
        b"\xff\xff\xff\xff",
    ],
    ids=["garbage", "empty", "step without a tensor", "oversize"],
)
async def test_garbage_is_a_bad_request_and_hurts_nobody_else(
    served: Served, session: Any, request_of: Build, step_of: Build, raw: bytes
) -> None:
    other = await served.stream()
    await other.send(request_of(session_id=SessionId(b"t" * 16)))
    await other.expect(SessionOpened)
    await other.send_raw(raw)
    assert (await other.expect(Refusal)).code is ErrorCode.BAD_REQUEST
    await other.expect_end()
    assert served.engine.held == {b"s" * 16}
    await session.send(step_of(0))
    await session.expect(StepAck)
    await session.expect(StepOutput)


async def test_a_first_message_too_large_for_an_open_is_refused_unread(served: Served) -> None:
    stream = await served.stream()
    await stream.send_raw((FAST.open_bytes_max + 1).to_bytes(4, "big"))
    assert (await stream.expect(Refusal)).code is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize(
    "changes",
    [{"dtype": WireDType.BF16}, {"tokens": 4}, {"width": 9}, {"rows": (Row(0, 60, 5),)}, {"data": b"short"}],
    ids=lambda changes: next(iter(changes)),
)
async def test_wrong_tensors_and_positions_are_bad_requests(
    session: Any, step_of: Build, changes: dict[str, Any]
) -> None:
    await session.send(step_of(0, **changes))
    while not isinstance(message := await session.receive(), Refusal):
        assert isinstance(message, StepAck | Heartbeat)
    assert message.code is ErrorCode.BAD_REQUEST
    await session.expect_end()


async def test_a_session_id_in_use_is_refused_and_its_owner_goes_on(
    served: Served, session: Any, request_of: Build, step_of: Build
) -> None:
    thief = await served.stream()
    await thief.send(request_of())
    assert "draw another id" in (await thief.expect(Refusal)).message
    await session.send(step_of(0))
    await session.expect(StepAck)
    await session.expect(StepOutput)


@options_with(allowed=frozenset({PeerId("somebody-else")}))
async def test_a_private_swarm_refuses_strangers(served: Served) -> None:
    stream = await served.stream()
    assert (await stream.expect(Refusal)).code is ErrorCode.UNAUTHORISED
    await stream.expect_end()


@options_with(sessions_per_peer_max=3)
async def test_a_flooding_peer_is_held_back_and_another_is_served(
    served: Served, p2p_of: Build, request_of: Build, step_of: Build
) -> None:
    streams = [await served.stream() for _ in range(8)]
    for n, stream in enumerate(streams):
        await stream.send(request_of(session_id=SessionId(bytes([n]) * 16)))
    replies = [await stream.receive() for stream in streams]
    refused = [reply for reply in replies if isinstance(reply, Refusal)]
    assert len(refused) == 5
    assert {reply.code for reply in refused} == {ErrorCode.OVERLOADED}
    assert all(reply.retry_after_ms > 0 for reply in refused)
    other = await served.probe(await p2p_of(served.provider), served.provider.peer_id)
    await other.send(request_of(session_id=SessionId(b"o" * 16)))
    await other.expect(SessionOpened)
    await other.send(step_of(0))
    await other.expect(StepAck)
    await other.expect(StepOutput)


@options_with(allowed=frozenset({PeerId("somebody-else")}), refusals_per_peer_max=2)
async def test_a_flood_of_refused_streams_is_cut_and_another_peer_is_still_told(served: Served, p2p_of: Build) -> None:
    flood = [await served.stream() for _ in range(6)]
    answers = [await stream.receive() for stream in flood]
    assert sum(isinstance(answer, Refusal) for answer in answers) == 2
    assert answers.count(None) == 4
    other = await served.probe(await p2p_of(served.provider), served.provider.peer_id)
    assert (await other.expect(Refusal)).code is ErrorCode.UNAUTHORISED


# ---------------------------------------------------------------- peers that trickle


TIGHT = replace(
    FAST,
    times=SessionTimes(heartbeat_s=0.05, idle_heartbeat_s=0.2),
    wire=WireLimits(message_bytes_max=1 << 16),
    held_bytes_max=1 << 18,
    free_bytes=1 << 10,
    pace=Pace(grace_s=1.5, bytes_s_min=1 << 10),
)


WIDE = 256


def wide_step(seq: int) -> StepMessage:
    """32 KiB of tensor."""
    return StepMessage(
        StepHeader(seq, (Row(0, 0, 32),)), EncodedTensor(WireDType.FP32, Codec.RAW, 32, WIDE, bytes(32 * WIDE * 4))
    )


@pytest.mark.parametrize(("options", "width"), [(TIGHT, WIDE)])
async def test_a_peer_that_trickles_is_held_to_its_share_and_dropped_and_an_honest_one_goes_on(
    served: Served, p2p_of: Build, request_of: Build, terms: ServedTerms, eventually: Build
) -> None:
    trickling = []
    for number in range(6):
        stream = await served.stream()
        await stream.send(request_of(session_id=SessionId(bytes([number]) * 16)))
        await stream.expect(SessionOpened)
        trickling.append(stream)
    honest = await served.probe(await p2p_of(served.provider), served.provider.peer_id)
    await honest.send(request_of(session_id=SessionId(b"h" * 16)))
    await honest.expect(SessionOpened)
    announced = terms.message_bytes_max.to_bytes(4, "big")
    for stream in trickling:  # together nearly four times what one peer may have, and the last bytes never come
        await stream.send_raw(announced + bytes(40_000))
    await eventually(lambda: served.service.bytes_held > 30_000)
    for seq in range(20):
        await honest.send(wide_step(seq))
        await honest.expect(StepAck)
        await honest.expect(StepOutput)
        assert served.service.bytes_held <= TIGHT.held_bytes_of_peer + (1 << 15)
    for stream in trickling:
        refusal = await stream.expect(Refusal)
        assert refusal.code is ErrorCode.BAD_REQUEST
        assert "too slowly" in refusal.message
        await stream.expect_end()
    assert served.service.n_sessions == 1
    await honest.send(wide_step(20))
    await honest.expect(StepAck)
    await honest.expect(StepOutput)
    await eventually(lambda: served.service.bytes_held == 0)


@pytest.mark.parametrize(("options", "width"), [(replace(TIGHT, pace=Pace()), WIDE)])
async def test_a_step_without_room_is_refused_and_answered_when_it_comes_again(
    served: Served, session: Any, request_of: Build, terms: ServedTerms, eventually: Build
) -> None:
    hoarding = await served.stream()
    await hoarding.send(request_of(session_id=SessionId(b"t" * 16)))
    await hoarding.expect(SessionOpened)
    await hoarding.send_raw(terms.message_bytes_max.to_bytes(4, "big") + bytes(terms.message_bytes_max - 1))
    await eventually(lambda: served.service.bytes_held > 60_000)
    await session.send(wide_step(0))
    refusal = await session.expect(Refusal)
    assert refusal.code is ErrorCode.OVERLOADED
    assert refusal.retry_after_ms > 0
    hoarding.close()
    await eventually(lambda: served.service.bytes_held == 0)
    await session.send(wide_step(0))
    await session.expect(StepAck)
    assert (await session.expect(StepOutput)).seq == 0
    await eventually(lambda: served.service.bytes_held == 0)


@pytest.mark.parametrize(("options", "width"), [(TIGHT, WIDE)])
async def test_bytes_of_a_step_are_held_while_it_is_in_progress_and_free_when_its_client_goes_away(
    served: Served, session: Any, eventually: Build
) -> None:
    served.engine.gate.clear()
    await session.send(wide_step(0))
    await session.expect(StepAck)
    await served.engine.started.wait()
    assert served.service.bytes_held > 30_000
    session.close()
    await eventually(lambda: served.service.bytes_held == 0)
    assert not served.engine.held


@pytest.mark.parametrize(("options", "width"), [(TIGHT, WIDE)])
async def test_nothing_large_is_read_while_a_step_is_in_progress(served: Served, session: Any) -> None:
    served.engine.gate.clear()
    await session.send(wide_step(0))
    await session.expect(StepAck)
    await session.send_raw((FAST.open_bytes_max + 1).to_bytes(4, "big"))
    assert (await session.expect(Refusal)).code is ErrorCode.BAD_REQUEST


@options_with(steps_per_s=0.5, steps_burst=2)
async def test_steps_beyond_the_rate_are_refused_for_now(served: Served, session: Any, step_of: Build) -> None:
    for seq in range(2):
        await session.send(step_of(seq))
        await session.expect(StepAck)
        await session.expect(StepOutput)
    await session.send(step_of(2))
    await session.expect(StepAck)
    refusal = await session.expect(Refusal)
    assert refusal.code is ErrorCode.OVERLOADED
    assert 0 < refusal.retry_after_ms <= 2000
    await session.send(Keepalive())
    await session.expect(Heartbeat)


# ---------------------------------------------------------------- freeing


async def in_step(served: Served, session: Any, step_of: Build) -> None:
    served.engine.gate.clear()
    await session.send(step_of(0))
    await session.expect(StepAck)
    await served.engine.started.wait()


@pytest.mark.parametrize("how", ["close message", "end of stream", "second step"])
async def test_leaving_in_the_middle_of_a_step_cancels_it_and_frees_the_session(
    served: Served, session: Any, step_of: Build, eventually: Build, how: str
) -> None:
    await in_step(served, session, step_of)
    match how:
        case "close message":
            await session.send(SessionClose())
        case "end of stream":
            session.close()
        case _:
            await session.send(step_of(1))
    await eventually(lambda: not served.engine.held and served.service.n_sessions == 0)
    await asyncio.wait_for(served.engine.cancelled.wait(), 1.0)


@pytest.mark.parametrize(
    "options", [replace(FAST, times=SessionTimes(heartbeat_s=0.05, idle_heartbeat_s=0.1, idle_timeout_s=0.3))]
)
async def test_a_silent_client_is_told_and_freed(served: Served, session: Any) -> None:
    refusal = await session.expect(Refusal)
    assert "keepalive" in refusal.message
    assert session.beats
    await session.expect_end()
    assert not served.engine.held


@pytest.mark.parametrize("options", [replace(FAST, write_stall_s=0.4)])
async def test_a_client_that_does_not_read_is_cut(
    engine: Any,
    p2p_of: Build,
    probe: Build,
    request_of: Build,
    terms: ServedTerms,
    options: Any,
    eventually: Build,
    caplog: pytest.LogCaptureFixture,
) -> None:
    wide = replace(terms, width=4096, step_tokens_max=256, message_bytes_max=8 << 20, context_max=1 << 16)
    provider = await p2p_of()
    service = SessionService(engine, wide, KEY, options)
    await provider.add_binary_stream_handler(STREAM_PROTOCOL, service.handle)
    stream = await probe(await p2p_of(provider), provider.peer_id)
    await stream.send(request_of(max_tokens=1 << 15))
    await stream.expect(SessionOpened)
    stream.writer.transport.pause_reading()  # a client that sends and never reads
    hidden = encode(torch.zeros(256, 4096), Codec.RAW, WireDType.FP32)  # 4 MiB: more than all buffers on the way hold
    with caplog.at_level(logging.INFO, logger="compute.server"):
        await stream.send(StepMessage(StepHeader(0, (Row(0, 0, 256),)), hidden))
        await eventually(lambda: not engine.held, within_s=10.0)
    assert "takes too little" in caplog.text
    await service.close()


# ---------------------------------------------------------------- leaving


async def test_draining_refuses_new_sessions_and_lets_running_ones_finish(
    served: Served, session: Any, step_of: Build
) -> None:
    served.service.begin_drain(30.0)
    assert (await session.expect(Heartbeat)).draining
    late = await served.stream()
    assert (await late.expect(Refusal)).code is ErrorCode.DRAINING
    await session.send(step_of(0))
    await session.expect(StepAck)
    await session.expect(StepOutput)
    await session.send(SessionClose())
    await asyncio.wait_for(served.service.wait_empty(), 1.0)


async def test_sessions_that_outlast_the_grace_are_told_draining(served: Served, session: Any, step_of: Build) -> None:
    await in_step(served, session, step_of)
    served.service.begin_drain(0.2)
    assert (await session.expect(Refusal)).code is ErrorCode.DRAINING
    await session.expect_end()
    await asyncio.wait_for(served.service.wait_empty(), 1.0)
    assert served.engine.cancelled.is_set()
