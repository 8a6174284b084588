"""Providers that sign what is not so: the session ends, the peer is banned, the evidence is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from scripted_provider import FakeStream

from compute.client.evidence import EvidenceStore
from compute.errors import BadReceipt, BadRequest, Equivocation
from compute.swarm.daemon import open_stream
from compute.swarm.network import NetworkOptions, SwarmNetwork
from compute.wire.evidence import verify_evidence
from compute.wire.frames import STREAM_PROTOCOL
from compute.wire.messages import StepOutput

Run = Callable[[Any], Any]


@pytest.mark.parametrize("mood", ["liar", "twisted"])
def test_a_wrong_receipt_ends_the_session_and_bans_the_peer(
    swarm: Any, twin_of: Any, in_virtual_time: Run, mood: str
) -> None:
    liar = swarm.add(0, 6, mood=mood)
    swarm.add(0, 6)

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        with pytest.raises(BadReceipt) as caught:
            await twin.extend(3)
        assert caught.value.peer == liar.peer
        assert caught.value.evidence
        assert twin.session.closed
        assert twin.session._suspects.banned() == {liar.peer}
        with pytest.raises(BadRequest, match="closed"):
            await twin.extend(1)
        await asyncio.sleep(0.1)
        assert swarm.open_streams == 0

    in_virtual_time(story())


def contradict(stream: Any, output: StepOutput) -> None:
    stream.say(replace(output, receipt=stream.signed(output.receipt, out_hash=b"\x07" * 32)))


def test_equivocation_ends_the_session_bans_the_peer_and_leaves_a_proof(
    swarm: Any, twin_of: Any, in_virtual_time: Run, tmp_path: Path
) -> None:
    two_faced = swarm.add(0, 6)
    swarm.add(0, 6)
    store = EvidenceStore(tmp_path)

    async def story() -> None:
        twin = twin_of(swarm, evidence=store)
        await twin.session.open()
        await twin.extend(3)
        two_faced.lies = contradict
        with pytest.raises(Equivocation) as caught:
            await twin.extend(1)
        assert caught.value.peer == two_faced.peer
        assert twin.session.closed
        assert twin.session._suspects.banned() == {two_faced.peer}
        (record,) = store.records()
        assert record.evidence == caught.value.evidence
        proven = verify_evidence(record.evidence)
        assert (proven.provider_key, proven.receipts[0].seq) == (two_faced.key.public_key, 1)

    in_virtual_time(story())


def test_equivocation_after_the_last_step_is_kept_and_the_peer_banned(
    swarm: Any, twin_of: Any, in_virtual_time: Run, tmp_path: Path
) -> None:
    two_faced = swarm.add(0, 6)
    store = EvidenceStore(tmp_path)

    async def story() -> None:
        loop = asyncio.get_running_loop()
        two_faced.lies = lambda stream, output: loop.call_later(0.1, contradict, stream, output)
        twin = twin_of(swarm, evidence=store)
        await twin.session.open()
        await twin.extend(3)
        await asyncio.sleep(0.2)
        twin.session.close()
        assert twin.session._suspects.banned() == {two_faced.peer}
        assert len(store.records()) == 1

    in_virtual_time(story())


def test_nothing_is_written_unless_it_is_asked_for(
    swarm: Any, twin_of: Any, in_virtual_time: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    swarm.add(0, 6).lies = contradict

    async def story() -> None:
        twin = twin_of(swarm)
        await twin.session.open()
        with pytest.raises(Equivocation):
            await twin.extend(3)

    in_virtual_time(story())
    assert list(tmp_path.iterdir()) == []


async def take_steps(twin: Any) -> None:
    """Enough of them for a message that comes behind the answer to be there."""
    for _ in range(20):
        await twin.extend(1)


class _ToStream:
    """What a scripted provider says, on a real stream."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.feed_data = writer.write
        self.feed_eof = writer.close


async def test_a_two_faced_provider_is_caught_over_real_streams(swarm: Any, twin_of: Any, tmp_path: Path) -> None:
    two_faced = swarm.add(0, 6)

    async def serve(info: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = FakeStream(two_faced, _ToStream(writer))
        while data := await reader.read(1 << 16):
            stream.write(data)
        stream.end()

    listen = ("/ip4/127.0.0.1/tcp/0",)
    node = await SwarmNetwork.create(NetworkOptions(key=two_faced.key, listen=listen))
    client = await SwarmNetwork.create(NetworkOptions(initial_peers=node.addresses, client_mode=True))
    store = EvidenceStore(tmp_path)
    try:
        await node.p2p.add_binary_stream_handler(STREAM_PROTOCOL, serve)
        swarm.dial = partial(open_stream, client.p2p, protocol=STREAM_PROTOCOL)
        twin = twin_of(swarm, evidence=store)
        await twin.session.open()
        await twin.extend(3)
        two_faced.lies = contradict
        with pytest.raises(Equivocation) as caught:
            await take_steps(twin)
        assert caught.value.peer == two_faced.peer
        (record,) = store.records()
        assert verify_evidence(record.evidence).provider_key == two_faced.key.public_key
    finally:
        await client.close()
        await node.close()
