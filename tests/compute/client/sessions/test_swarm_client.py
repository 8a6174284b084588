"""The client against real providers, in processes that are killed, frozen and told to leave."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from compute.client.blocking import BlockingSession
from compute.client.contracts import SessionOptions
from compute.client.swarm_client import ClientOptions, SwarmClient
from compute.client.swarm_view import ViewOptions
from compute.errors import BadRequest, NoRoute, PeerUnreachable
from compute.models.loading import load_local_model
from compute.models.manifest import load_or_build_manifest
from compute.models.sources import ModelFiles
from compute.types import Codec, Row, Span

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WIDTH = 32
FAILOVER_S_MAX = 2.0


@dataclass
class ProviderProcess:
    process: subprocess.Popen[str]
    address: str
    peer_id: str


@pytest.fixture(scope="module")
def model(saved: Callable[[str], ModelFiles]) -> ModelFiles:
    return saved("llama")


@pytest.fixture(scope="module")
def start_provider(model: ModelFiles) -> Iterator[Callable[..., list[ProviderProcess]]]:
    script = Path(__file__).with_name("provider_process.py")
    started: list[subprocess.Popen[str]] = []

    def launch(span: str, peers: tuple[str, ...]) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "ignore", str(script), str(model.directory), span, *peers]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    def ready(process: subprocess.Popen[str]) -> ProviderProcess:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        return ProviderProcess(process, told["addresses"][0], told["peer_id"])

    def start(span: str, *peers: str, n: int = 1) -> list[ProviderProcess]:
        """`n` of them, side by side."""
        return [ready(process) for process in [launch(span, peers) for _ in range(n)]]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="module")
def head(start_provider: Callable[..., list[ProviderProcess]]) -> ProviderProcess:
    """The first half of the blocks; no test harms it."""
    return start_provider("0:2")[0]


@pytest.fixture
def client_of(model: ModelFiles, head: ProviderProcess) -> Iterator[Callable[..., SwarmClient]]:
    clients: list[SwarmClient] = []

    def connect(**options: Any) -> SwarmClient:
        manifest = load_or_build_manifest(model.directory)
        clients.append(SwarmClient.connect(manifest, initial_peers=[head.address], options=ClientOptions(**options)))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def blocks(model: ModelFiles) -> Callable[[torch.Tensor], torch.Tensor]:
    """The whole model's blocks in this process: `[tokens, width]` in and out."""
    body = load_local_model(model, torch.float32).model
    body.norm = torch.nn.Identity()

    @torch.no_grad()
    def run(hidden: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = body(inputs_embeds=hidden[None], use_cache=False).last_hidden_state[0]
        return out

    return run


def close_to(values: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5)


def feed(session: BlockingSession, hidden: torch.Tensor, strike: Callable[[], None]) -> tuple[torch.Tensor, float]:
    """Half as a prompt, half token by token with `strike` in the middle; and the longest step after it."""
    half = len(hidden) // 2
    outputs = [session.step([Row(0, 0, half)], hidden[:half])]
    slowest_s = 0.0
    for position in range(half, len(hidden)):
        if position == half + half // 2:
            strike()
        started_s = time.monotonic()
        outputs.append(session.step([Row(0, position, 1)], hidden[position : position + 1]))
        slowest_s = max(slowest_s, time.monotonic() - started_s)
    return torch.cat(outputs), slowest_s


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM], ids=["killed", "frozen", "leaves"])
def test_a_provider_is_lost_mid_session(
    start_provider: Any, head: ProviderProcess, client_of: Any, blocks: Any, blow: signal.Signals
) -> None:
    replicas = start_provider("2:4", head.address, n=2)
    hidden = torch.randn(40, WIDTH, generator=torch.Generator().manual_seed(1))
    with client_of() as client, client.open_session(max_tokens=64) as session:

        def strike() -> None:
            in_use = session.route.hops[-1].peer
            os.kill(next(r.process.pid for r in replicas if r.peer_id == in_use), blow)

        values, slowest_s = feed(session, hidden, strike)
        close_to(values, blocks(hidden))
        assert slowest_s <= FAILOVER_S_MAX
        assert [hop.span for hop in session.route.hops] == [Span(0, 2), Span(2, 4)]
    for replica in replicas:
        replica.process.kill()
        replica.process.wait()


def test_lanes_forks_and_roll_backs_over_real_providers_and_a_loss(
    start_provider: Any, head: ProviderProcess, client_of: Any, blocks: Any
) -> None:
    replicas = start_provider("2:4", head.address, n=2)
    a, b, c = (torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(n)) for n in (9, 5, 3))
    with client_of() as client, client.open_session(max_tokens=64, lanes=2) as session:
        session.step([Row(0, 0, 9), Row(1, 0, 5)], torch.cat([a, b]))
        values = session.step([Row(0, 9, 3), Row(2, 4, 1)], torch.cat([c, c[:1]]), fork=(0, 0, 1))
        close_to(values, torch.cat([blocks(torch.cat([a, c]))[9:], blocks(torch.cat([b[:4], c[:1]]))[4:]]))
        in_use = session.route.hops[-1].peer
        os.kill(next(r.process.pid for r in replicas if r.peer_id == in_use), signal.SIGKILL)
        values = session.step([Row(0, 8, 1), Row(1, 12, 1)], c[:2], fork=(1, 0))
        close_to(values, torch.stack([blocks(torch.cat([a[:8], c[:1]]))[-1], blocks(torch.cat([a, c, c[1:2]]))[-1]]))
        assert session.lengths == (9, 13)
        session.suspend()
        values = session.step([Row(1, 13, 1)], c[:1])
        close_to(values, blocks(torch.cat([a, c, c[1:2], c[:1]]))[-1:])
    for replica in replicas:
        replica.process.kill()
        replica.process.wait()


def test_eight_bit_codec_status_and_long_prompts(
    start_provider: Any, head: ProviderProcess, client_of: Any, blocks: Any
) -> None:
    (tail,) = start_provider("1:4", head.address)
    hidden = torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(2))
    with client_of(view=ViewOptions(codec=Codec.BLOCK8)) as client:
        status = client.status()
        assert {record.peer_id for record in status.records} >= {head.peer_id, tail.peer_id}
        assert all(0 < status.rtt_s[peer] < 1 for peer in (head.peer_id, tail.peer_id))
        with client.open_session(max_tokens=200) as session:
            values = session.step([Row(0, 0, 200)], hidden)
            error = (values - blocks(hidden)).norm() / blocks(hidden).norm()
            assert error < 0.05
            stats = session.stats
            assert (stats.steps, stats.tokens, stats.failovers) == (1, 200, 0)
            assert all(hop.step_ms > hop.compute_ms > 0 for hop in stats.hops)
    tail.process.kill()
    tail.process.wait()


def test_blocks_that_nobody_serves_are_named(client_of: Any, start_provider: Any, head: ProviderProcess) -> None:
    (last,) = start_provider("3:4", head.address)
    patience = SessionOptions(open_give_up_s=0.5)
    with client_of(session=patience) as client, pytest.raises(NoRoute) as caught:
        client.open_session(max_tokens=8)
    assert Span(2, 3) in caught.value.missing
    last.process.kill()
    last.process.wait()


def test_a_closed_client_says_so(client_of: Any) -> None:
    client = client_of()
    client.close()
    client.close()
    with pytest.raises(BadRequest, match="closed"):
        client.open_session(max_tokens=8)


def test_no_initial_peer_answers(model: ModelFiles) -> None:
    manifest = load_or_build_manifest(model.directory)
    nobody = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWE4A7LuPxnKGysxcgNi7As844g8FuCWN9aRQdQT57v3fo"
    with pytest.raises(PeerUnreachable):
        SwarmClient.connect(manifest, initial_peers=[nobody])


def test_dialling_a_dead_provider_leaves_no_socket_behind(
    start_provider: Any, head: ProviderProcess, client_of: Any
) -> None:
    (tail,) = start_provider("2:4", head.address)
    patience = SessionOptions(open_give_up_s=1.5)
    with client_of(session=patience) as client:
        client.open_session(max_tokens=8).close()
        tail.process.kill()
        tail.process.wait()
        with pytest.raises(NoRoute) as caught:
            client.open_session(max_tokens=8)
        assert caught.value.missing[0].start == 2  # 3:4 may still have a record of an earlier test's provider
    gc.collect()  # an unclosed socket would warn here, and warnings are errors
