"""One hop on one stream: what is taken for a dead link, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import torch

from compute.client.contracts import HopTimes
from compute.errors import BadMessage, ComputeError, Draining, LinkLost
from compute.types import Codec, Row, SessionId, WireDType
from compute.wire.codecs import EncodedTensor, encode
from compute.wire.messages import Heartbeat, Keepalive, SessionOpened, StepAck

Run = Callable[[Any], Any]


def tokens(n: int) -> EncodedTensor:
    return encode(torch.ones(n, 8), Codec.RAW, WireDType.FP32)


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(
    ("mood", "at_most_s"),
    [("silent", 0.62), ("deaf", 0.62), ("hung", 1.05), ("dead", 0.01)],
)
def test_silence_is_noticed_in_time(
    swarm: Any, open_hop: Any, in_virtual_time: Run, mood: str, at_most_s: float
) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6)
        hop = await open_hop(provider)
        await hop.step([Row(0, 0, 1)], (), tokens(1))
        provider.become(mood)
        started = now()
        with pytest.raises(LinkLost) as caught:
            await hop.step([Row(0, 1, 1)], (), tokens(1))
        assert now() - started <= at_most_s
        assert (caught.value.peer, caught.value.span) == (provider.peer, provider.span)
        assert hop.end is caught.value

    in_virtual_time(story())


def test_beats_that_cross_an_unheard_step_do_not_prolong_the_wait(
    swarm: Any, open_hop: Any, in_virtual_time: Run
) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6)
        hop = await open_hop(provider)
        provider.become("deaf")
        for beat in range(20):
            asyncio.get_running_loop().call_later(0.1 * beat, provider.streams[0].say, Heartbeat(0, 1, False))
        with pytest.raises(LinkLost):
            await hop.step([Row(0, 0, 1)], (), tokens(1))
        assert now() < 0.7

    in_virtual_time(story())


def test_an_idle_hop_is_kept_alive_and_its_silence_noticed(swarm: Any, open_hop: Any, in_virtual_time: Run) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6)
        hop = await open_hop(provider)
        await asyncio.sleep(60)
        assert hop.end is None
        assert sum(isinstance(message, Keepalive) for message in provider.streams[0].heard) in (11, 12)
        provider.become("silent")
        await asyncio.sleep(25)
        assert isinstance(hop.end, LinkLost)

    in_virtual_time(story())


def test_the_loops_own_delay_is_not_the_peers_silence(swarm: Any, open_hop: Any, in_virtual_time: Run) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        provider = swarm.add(0, 6, compute_s=0.1)
        hop = await open_hop(provider)
        stalled = loop.call_later(0.0005, lambda: setattr(loop._jumping, "now", loop.time() + 5))  # type: ignore[attr-defined]
        await hop.step([Row(0, 0, 1)], (), tokens(1))
        assert not stalled.cancelled()
        assert now() > 5

    in_virtual_time(story())


def test_a_slow_upload_has_time(swarm: Any, open_hop: Any, in_virtual_time: Run) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6)
        hop = await open_hop(provider, upload_bytes_s=100.0)
        provider.become("silent")
        with pytest.raises(LinkLost):
            await hop.step([Row(0, 0, 10)], (), tokens(10))
        assert 3.7 < now() < 4

    in_virtual_time(story())


def test_nobody_there(swarm: Any, open_hop: Any, in_virtual_time: Run) -> None:
    async def story() -> None:
        with pytest.raises(LinkLost):
            await open_hop(swarm.add(0, 6, mood="silent"))
        assert 1.9 < now() < 2.1

    in_virtual_time(story())


def test_a_refused_opening_is_the_refusal(swarm: Any, open_hop: Any, in_virtual_time: Run) -> None:
    async def story() -> None:
        with pytest.raises(Draining):
            await open_hop(swarm.add(0, 6, mood="draining"))

    in_virtual_time(story())


@pytest.mark.parametrize(
    "message",
    [StepAck(0), StepAck(7), SessionOpened(SessionId(b"s" * 16), "", "", "", 400, 16, 1 << 20, bytes(16))],
)
def test_messages_out_of_place_end_the_hop(swarm: Any, open_hop: Any, in_virtual_time: Run, message: Any) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6)
        hop = await open_hop(provider)
        provider.streams[0].say(message)
        await asyncio.sleep(0.01)
        assert isinstance(hop.end, BadMessage)
        with pytest.raises(ComputeError):
            await hop.step([Row(0, 0, 1)], (), tokens(1))

    in_virtual_time(story())


def test_closing_twice_tells_the_provider_once(swarm: Any, open_hop: Any, in_virtual_time: Run) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6)
        hop = await open_hop(provider)
        hop.close()
        hop.close()
        await asyncio.sleep(0.01)
        assert provider.open_streams == 0
        assert [type(message).__name__ for message in provider.streams[0].heard] == ["SessionOpen", "SessionClose"]

    in_virtual_time(story())


@pytest.mark.parametrize("name", ["open_timeout_s", "ack_timeout_s", "keepalive_s", "upload_bytes_s"])
def test_senseless_times_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        HopTimes(**{name: 0.0})
