"""A provider's whole life, in a swarm of its own on loopback, over a tiny random model."""

from __future__ import annotations

import asyncio
import gc
import shutil
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch
from hivemind.p2p import PeerID
from safetensors.torch import load_file, save_file

from compute.errors import (
    AddressInUse,
    BadRequest,
    ComputeError,
    ErrorCode,
    PeerUnreachable,
    UnknownModel,
    WeightsCorrupt,
)
from compute.identity import NodeKey
from compute.models.loading import load_local_model
from compute.models.manifest import load_or_build_manifest
from compute.models.sources import resolve
from compute.models.span import LoadedSpan
from compute.runner.engine import EngineOptions
from compute.runner.selftest import SpanRates
from compute.server.placement import BLOCK_TOKENS_S
from compute.server.provider import Provider, ProviderOptions, ProviderState
from compute.server.serving import Serving, serve_span
from compute.swarm.balancing import MoveRules
from compute.swarm.directory import Directory
from compute.swarm.network import NetworkOptions, SwarmNetwork
from compute.swarm.pinger import Pinger
from compute.swarm.records import PeerState, ProviderRecord
from compute.types import Codec, PeerId, Row, SessionId, Span, StepHeader, WireDType
from compute.wire.codecs import decode, encode
from compute.wire.messages import (
    Heartbeat,
    Refusal,
    SessionClose,
    SessionOpen,
    SessionOpened,
    StepAck,
    StepMessage,
    StepOutput,
)

Build = Callable[..., Any]


@pytest.fixture
def options(tiny_llama: Path) -> ProviderOptions:
    return ProviderOptions(model=str(tiny_llama), blocks=Span(0, 4), cache_bytes=1 << 22, refresh_s=0.5)


@pytest.fixture
def even_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every provider is as fast as is assumed before one measures: the best span must not hang on this machine."""

    async def rates(loaded: LoadedSpan, options: EngineOptions) -> SpanRates:
        return SpanRates(round(len(loaded.span) * 1e6 / BLOCK_TOKENS_S), 1000)

    monkeypatch.setattr("compute.server.serving.measure_rates", rates)


@pytest_asyncio.fixture
async def provider_of() -> AsyncIterator[Build]:
    """Starts providers that are closed with the test."""
    providers: list[Provider] = []

    async def start(options: ProviderOptions, *peers: Provider) -> Provider:
        addresses = tuple(address for peer in peers for address in peer.addresses)
        providers.append(Provider(replace(options, initial_peers=addresses)))
        await providers[-1].start()
        return providers[-1]

    yield start
    for provider in reversed(providers):
        await provider.close()


@pytest_asyncio.fixture
async def observer_of() -> AsyncIterator[Build]:
    """Makes nodes that only read the swarm of a provider."""
    networks: list[SwarmNetwork] = []

    async def join(provider: Provider) -> SwarmNetwork:
        networks.append(await SwarmNetwork.create(NetworkOptions(initial_peers=provider.addresses, client_mode=True)))
        return networks[-1]

    yield join
    for network in networks:
        await network.close()


@pytest.fixture
def connect(p2p_of: Build, probe: Build) -> Build:
    """A client's node that knows `provider`, with a stream to it."""

    async def open_stream(provider: Provider) -> Any:
        client = await p2p_of(addresses=provider.addresses)
        return await probe(client, PeerID.from_base58(provider.peer_id))

    return open_stream


def request_to(provider: Provider, **changes: Any) -> SessionOpen:
    fields: dict[str, Any] = {
        "session_id": SessionId(b"s" * 16),
        "client_key": b"c" * 32,
        "provider_key": provider.public_key,
        "network_id": bytes(32),
        "model_root": provider.model_root,
        "span": provider.span,
        "codec": Codec.RAW,
        "dtype": WireDType.FP32,
        "lanes": 1,
        "max_tokens": 64,
    }
    return SessionOpen(**{**fields, **changes})


async def test_a_started_provider_serves_what_the_stock_model_computes(
    options: ProviderOptions, provider_of: Build, connect: Build, tiny_llama: Path
) -> None:
    provider = await provider_of(options)
    stream = await connect(provider)
    await stream.send(request_to(provider))
    await stream.expect(SessionOpened)
    model = load_local_model(resolve(str(tiny_llama)))
    with torch.no_grad():
        states = model(torch.arange(9)[None], output_hidden_states=True).hidden_states
    sent = encode(states[0][0], Codec.RAW, WireDType.FP32)
    await stream.send(StepMessage(StepHeader(0, (Row(0, 0, 9),)), sent))
    await stream.expect(StepAck)
    output = decode((await stream.expect(StepOutput)).hidden)
    with torch.no_grad():
        normed = model.model.norm(output)  # the stock model's last state has passed its final norm
    torch.testing.assert_close(normed, states[-1][0], rtol=1e-4, atol=1e-5)
    status = provider.status().as_json()
    assert (status["state"], status["span"], status["sessions"], status["n_blocks"]) == ("online", [0, 4], 1, 4)
    assert status["cache_bytes_used"] > 0
    assert status["decode_us"] > 0


async def test_progress_is_told_from_the_files_to_the_measurement(options: ProviderOptions) -> None:
    said: list[str] = []
    provider = Provider(options)
    await provider.start(lambda what, done, total: said.append(what))
    await provider.close()
    order = list(dict.fromkeys(said))
    assert order[-4:] == ["joining the swarm", "checking weights", "testing kernels", "measuring"]


@pytest.mark.usefixtures("even_rates")
async def test_a_provider_without_blocks_takes_what_nobody_serves(options: ProviderOptions, provider_of: Build) -> None:
    first = await provider_of(replace(options, blocks=Span(0, 2)))
    second = await provider_of(replace(options, blocks=None), first)
    assert second.span == Span(2, 4)


async def test_the_first_provider_without_blocks_takes_the_whole_model(
    options: ProviderOptions, provider_of: Build
) -> None:
    assert (await provider_of(replace(options, blocks=None))).span == Span(0, 4)


async def test_records_and_pings_tell_the_state(
    options: ProviderOptions, provider_of: Build, observer_of: Build, eventually: Build
) -> None:
    first = await provider_of(replace(options, blocks=Span(0, 2)))
    second = await provider_of(replace(options, blocks=Span(2, 4)), first)
    observer = await observer_of(first)

    async def seen() -> dict[str, ProviderRecord]:
        return {record.peer_id: record for record in await Directory(observer).fetch(first.model_root)}

    records = await seen()
    assert {peer: (record.span, record.state) for peer, record in records.items()} == {
        first.peer_id: (Span(0, 2), PeerState.ONLINE),
        second.peer_id: (Span(2, 4), PeerState.ONLINE),
    }
    mine = records[second.peer_id]
    assert (mine.model_name, mine.cache_bytes_free) == ("llama", 1 << 22)
    assert mine.decode_us > 0
    assert await Pinger(observer.p2p).ping(first.peer_id) > 0
    await first.drain(0.0)
    assert (await seen())[first.peer_id].state is PeerState.LEAVING
    await second.close()
    assert (await seen())[second.peer_id].state is PeerState.LEAVING


async def test_the_record_is_refreshed(options: ProviderOptions, provider_of: Build, observer_of: Build) -> None:
    provider = await provider_of(replace(options, refresh_s=0.1))
    directory = Directory(await observer_of(provider))
    (before,) = await directory.fetch(provider.model_root)

    async def refreshed() -> None:
        while (await directory.fetch(provider.model_root))[0].expires_at_ms == before.expires_at_ms:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    await asyncio.wait_for(refreshed(), 5.0)


async def test_draining_ends_when_the_last_session_does(
    options: ProviderOptions, provider_of: Build, connect: Build
) -> None:
    provider = await provider_of(options)
    stream = await connect(provider)
    await stream.send(request_to(provider))
    await stream.expect(SessionOpened)
    draining = asyncio.create_task(provider.drain(30.0))
    assert (await stream.expect(Heartbeat)).draining
    assert provider.state is ProviderState.LEAVING
    late = await connect(provider)
    await late.send(request_to(provider, session_id=SessionId(b"t" * 16)))
    assert (await late.expect(Refusal)).code is ErrorCode.DRAINING
    assert not draining.done()
    await stream.send(SessionClose())
    await asyncio.wait_for(draining, 5.0)


async def test_closing_tells_sessions_and_is_idempotent(
    options: ProviderOptions, provider_of: Build, connect: Build
) -> None:
    provider = await provider_of(options)
    stream = await connect(provider)
    await stream.send(request_to(provider))
    await stream.expect(SessionOpened)
    closing = asyncio.create_task(provider.close())
    assert (await stream.expect(Refusal)).code is ErrorCode.DRAINING
    await asyncio.wait_for(closing, 5.0)
    await provider.close()
    assert provider.state is ProviderState.CLOSED


async def test_closing_in_the_middle_of_the_start_leaves_nothing(options: ProviderOptions) -> None:
    provider = Provider(options)
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()

    def progress(what: str, done: int, total: int) -> None:
        if what == "testing kernels":
            loop.call_soon_threadsafe(reached.set)

    starting = asyncio.create_task(provider.start(progress))
    await asyncio.wait_for(reached.wait(), 20.0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await asyncio.wait_for(provider.close(), 5.0)
    assert provider.state is ProviderState.CLOSED


async def test_the_key_file_keeps_the_identity(options: ProviderOptions, provider_of: Build, tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    provider = await provider_of(replace(options, identity_path=path))
    assert provider.peer_id == NodeKey.load_or_create(path).peer_id


async def test_a_private_provider_refuses_strangers(
    options: ProviderOptions, provider_of: Build, connect: Build
) -> None:
    provider = await provider_of(replace(options, allowed_peers=frozenset({PeerId("friend")})))
    stream = await connect(provider)
    await stream.send(request_to(provider))
    assert (await stream.expect(Refusal)).code is ErrorCode.UNAUTHORISED


# ---------------------------------------------------------------- moving


QUICK = MoveRules(stay_s=0.0, window_s=0.3)


async def open_session(stream: Any, request: SessionOpen) -> None:
    await stream.send(request)
    await stream.expect(SessionOpened)


async def stepped(stream: Any, seq: int, hidden: torch.Tensor) -> torch.Tensor:
    sent = encode(hidden, Codec.RAW, WireDType.FP32)
    await stream.send(StepMessage(StepHeader(seq, (Row(0, 0, hidden.shape[0]),)), sent))
    await stream.expect(StepAck)
    return decode((await stream.expect(StepOutput)).hidden)


@pytest.mark.usefixtures("even_rates")
async def test_a_provider_moves_to_blocks_that_nobody_serves_any_more_once_its_sessions_are_over(
    options: ProviderOptions,
    provider_of: Build,
    observer_of: Build,
    connect: Build,
    eventually: Build,
    tiny_llama: Path,
) -> None:
    first = await provider_of(replace(options, blocks=Span(0, 2)))
    mover = await provider_of(replace(options, blocks=None, moves=QUICK), first)
    assert mover.span == Span(2, 4)
    directory = Directory(await observer_of(mover))

    async def announced() -> ProviderRecord:
        return {record.peer_id: record for record in await directory.fetch(mover.model_root)}[mover.peer_id]

    stream = await connect(mover)
    await open_session(stream, request_to(mover))
    with torch.no_grad():
        states = load_local_model(resolve(str(tiny_llama)))(
            torch.arange(9)[None], output_hidden_states=True
        ).hidden_states
    before = await stepped(stream, 0, states[2][0])

    await first.close()  # blocks 0:2 are nobody's now
    await eventually(lambda: mover.state is ProviderState.MOVING, within_s=20.0)
    assert torch.equal(await stepped(stream, 1, states[2][0]), before), "a live session is served to its end"
    late = await connect(mover)
    await late.send(request_to(mover, session_id=SessionId(b"t" * 16)))
    assert (await late.expect(Refusal)).code is ErrorCode.DRAINING
    record = await announced()
    assert (record.span, record.state, record.decode_us) == (Span(0, 4), PeerState.JOINING, 0)
    await stream.send(SessionClose())
    await eventually(lambda: mover.state is ProviderState.ONLINE, within_s=20.0)

    assert mover.span == Span(0, 4)
    again = await connect(mover)
    await open_session(again, request_to(mover))
    model = load_local_model(resolve(str(tiny_llama)))
    with torch.no_grad():
        normed = model.model.norm(await stepped(again, 0, states[0][0]))
    torch.testing.assert_close(normed, states[-1][0], rtol=1e-4, atol=1e-5)
    async with asyncio.timeout(5.0):
        while (await announced()).state is not PeerState.ONLINE:  # noqa: ASYNC110 - another node's view
            await asyncio.sleep(0.02)


async def test_a_move_that_sessions_outlast_is_given_up_and_they_go_on(
    options: ProviderOptions, provider_of: Build, connect: Build
) -> None:
    provider = await provider_of(replace(options, blocks=Span(0, 2), move_drain_s=0.2))
    stream = await connect(provider)
    await open_session(stream, request_to(provider))
    assert not await provider.move(Span(2, 4))
    assert (provider.state, provider.span) == (ProviderState.ONLINE, Span(0, 2))
    await stepped(stream, 0, torch.zeros(3, 32))
    other = await connect(provider)
    await open_session(other, request_to(provider, session_id=SessionId(b"t" * 16)))


async def test_a_move_drops_the_old_weights_before_it_loads_new_ones_and_says_so_to_who_comes(
    options: ProviderOptions, provider_of: Build, connect: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = await provider_of(replace(options, blocks=Span(0, 2)))
    old = weakref.ref(provider._serving.loaded.blocks[0])
    loading, go_on = asyncio.Event(), asyncio.Event()

    async def serve_later(*args: Any) -> Serving:
        loading.set()
        await go_on.wait()
        return await serve_span(*args)

    monkeypatch.setattr("compute.server.provider.serve_span", serve_later)
    moving = asyncio.create_task(provider.move(Span(1, 4)))
    await asyncio.wait_for(loading.wait(), 10.0)
    gc.collect()
    assert old() is None
    stream = await connect(provider)
    assert (await stream.expect(Refusal)).code is ErrorCode.DRAINING
    go_on.set()
    assert await moving
    assert provider.span == Span(1, 4)


async def test_blocks_that_cannot_be_served_send_the_provider_back(
    options: ProviderOptions, provider_of: Build, connect: Build
) -> None:
    provider = await provider_of(replace(options, blocks=Span(0, 2)))
    assert not await provider.move(Span(3, 9))  # no such blocks
    assert (provider.state, provider.span) == (ProviderState.ONLINE, Span(0, 2))
    await open_session(await connect(provider), request_to(provider))


async def test_memory_that_does_not_suffice_sends_the_provider_back_too(
    options: ProviderOptions, provider_of: Build, connect: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = await provider_of(replace(options, blocks=Span(0, 2)))

    async def serve_small(options: Any, joined: Any, placement: Any, progress: Any) -> Serving:
        if len(placement.span) > 2:
            raise MemoryError
        return await serve_span(options, joined, placement, progress)

    monkeypatch.setattr("compute.server.provider.serve_span", serve_small)
    assert not await provider.move(Span(0, 4))
    assert (provider.state, provider.span) == (ProviderState.ONLINE, Span(0, 2))
    await open_session(await connect(provider), request_to(provider))


async def test_a_provider_that_can_serve_nothing_any_more_says_so_to_its_owner(
    options: ProviderOptions, provider_of: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = await provider_of(replace(options, blocks=Span(0, 2)))

    async def serve_nothing(*args: Any) -> Serving:
        raise MemoryError

    monkeypatch.setattr("compute.server.provider.serve_span", serve_nothing)
    waiting = asyncio.create_task(provider.failure())
    with pytest.raises(MemoryError):
        await provider.move(Span(2, 4))
    with pytest.raises(ComputeError, match="start the provider again"):
        await asyncio.wait_for(waiting, 5.0)
    assert provider.state is ProviderState.LEAVING


@pytest.mark.usefixtures("even_rates")
async def test_a_provider_can_be_closed_in_the_middle_of_a_move(
    options: ProviderOptions, provider_of: Build, connect: Build, eventually: Build
) -> None:
    first = await provider_of(replace(options, blocks=Span(0, 2)))
    mover = await provider_of(replace(options, blocks=None, moves=QUICK), first)
    stream = await connect(mover)
    await open_session(stream, request_to(mover))
    await first.close()
    await eventually(lambda: mover.state is ProviderState.MOVING, within_s=20.0)
    draining = asyncio.create_task(mover.drain(0.2))
    while not isinstance(message := await stream.receive(), Refusal):
        assert isinstance(message, Heartbeat)
    assert message.code is ErrorCode.DRAINING
    await asyncio.wait_for(draining, 5.0)
    await asyncio.wait_for(mover.close(), 5.0)
    assert mover.state is ProviderState.CLOSED


async def test_a_provider_whose_blocks_were_given_stays(options: ProviderOptions, provider_of: Build) -> None:
    first = await provider_of(replace(options, blocks=Span(0, 2)))
    second = await provider_of(replace(options, blocks=Span(2, 4), moves=QUICK), first)
    await first.close()
    await asyncio.sleep(4 * QUICK.window_s)
    assert (second.state, second.span) == (ProviderState.ONLINE, Span(2, 4))


# ---------------------------------------------------------------- starts that fail


async def fails(options: ProviderOptions, error: type[Exception], says: str) -> None:
    provider = Provider(options)
    with pytest.raises(error, match=says):
        await provider.start()
    await provider.close()


async def test_an_unknown_model_is_refused(options: ProviderOptions) -> None:
    await fails(replace(options, model="no-such-model"), UnknownModel, "no-such-model")


async def test_blocks_beyond_the_model_are_refused(options: ProviderOptions) -> None:
    await fails(replace(options, blocks=Span(2, 9)), BadRequest, "0:4")


async def test_an_initial_peer_that_does_not_answer_is_named(options: ProviderOptions) -> None:
    peer = f"/ip4/127.0.0.1/tcp/9/p2p/{NodeKey.generate().peer_id}"
    await fails(replace(options, initial_peers=(peer,)), PeerUnreachable, "tcp/9")


async def test_a_port_in_use_is_named(options: ProviderOptions) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        await fails(replace(options, listen=(f"/ip4/127.0.0.1/tcp/{port}",)), AddressInUse, str(port))


async def test_a_changed_weight_is_named_and_nothing_is_served(options: ProviderOptions, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(options.model, copy)
    load_or_build_manifest(copy)
    tensors = load_file(copy / "model.safetensors")
    changed = "model.layers.1.mlp.down_proj.weight"
    tensors[changed][0, 0] += 1e-3
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    await fails(replace(options, model=str(copy)), WeightsCorrupt, changed)
