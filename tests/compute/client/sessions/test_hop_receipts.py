"""Lies in receipts on one stream: each has its name, whenever it comes, and equivocation leaves both receipts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from compute.client.contracts import Lie
from compute.client.hop import HopConnection
from compute.client.receipt_check import RECEIPTS_KEPT
from compute.errors import BadMessage, BadReceipt, Equivocation, PeerFault
from compute.identity import NodeKey
from compute.types import Codec, Row, WireDType
from compute.wire.codecs import encode
from compute.wire.evidence import verify_evidence
from compute.wire.messages import StepOutput
from compute.wire.receipts import StepReceipt

Run = Callable[[Any], Any]
OTHER_HASH = b"\x07" * 32
CONTENT: dict[str, Any] = {
    "position": 9,
    "n_tokens": 3,
    "in_hash": OTHER_HASH,
    "out_hash": OTHER_HASH,
    "in_chain": OTHER_HASH,
}


async def step(hop: HopConnection, position: int) -> None:
    await hop.step([Row(0, position, 1)], (), encode(torch.ones(1, 8), Codec.RAW, WireDType.FP32))


class Listener:
    """Answers as they went over the stream of a provider, and the lies that the hop told of."""

    def __init__(self, provider: Any) -> None:
        self.answers: list[StepOutput] = []
        self.lies: list[Lie] = []
        provider.lies = lambda _, output: self.answers.append(output)


@pytest.mark.parametrize("field", CONTENT)
@pytest.mark.parametrize("when", ["with the answer", "on the idle stream", "in the middle of the next step"])
def test_a_second_signed_receipt_is_equivocation_whenever_it_comes(
    swarm: Any, open_hop: Any, in_virtual_time: Run, field: str, when: str
) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6)
        heard = Listener(provider)
        hop = await open_hop(provider, heard.lies.append)

        def contradict(stream: Any, output: StepOutput) -> None:
            lie = replace(output, receipt=stream.signed(output.receipt, **{field: CONTENT[field]}))
            signed.update((output.receipt, lie.receipt))
            stream.say(lie)

        signed: set[StepReceipt] = set()
        await step(hop, 0)
        if when == "with the answer":
            provider.lies = contradict
            with pytest.raises(Equivocation):
                await step(hop, 1)
        elif when == "on the idle stream":
            contradict(provider.streams[0], heard.answers[0])
            await asyncio.sleep(0.001)
        else:
            running = asyncio.create_task(step(hop, 1))
            await asyncio.sleep(0.01)
            contradict(provider.streams[0], heard.answers[0])
            with pytest.raises(Equivocation):
                await running
        assert isinstance(hop.end, Equivocation)
        assert (hop.end.peer, hop.end.span) == (provider.peer, provider.span)
        assert heard.lies == [hop.end]
        assert set(verify_evidence(hop.end.evidence).receipts) == signed
        with pytest.raises(Equivocation):
            await step(hop, 2)

    in_virtual_time(story())


@pytest.mark.parametrize("steps_later", [1, RECEIPTS_KEPT - 1, RECEIPTS_KEPT])
def test_equivocation_is_seen_as_far_back_as_receipts_are_kept(
    swarm: Any, open_hop: Any, in_virtual_time: Run, steps_later: int
) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6, compute_s=0.001)
        heard = Listener(provider)
        hop = await open_hop(provider)
        for _ in range(1 + steps_later):
            await step(hop, 0)
        first = heard.answers[0]
        stream = provider.streams[0]
        stream.say(replace(first, receipt=stream.signed(first.receipt, out_hash=OTHER_HASH)))
        await asyncio.sleep(0.001)
        assert isinstance(hop.end, Equivocation if steps_later < RECEIPTS_KEPT else BadMessage)

    in_virtual_time(story())


def test_the_same_answer_once_more_is_a_bad_message(swarm: Any, open_hop: Any, in_virtual_time: Run) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6)
        heard = Listener(provider)
        hop = await open_hop(provider, heard.lies.append)
        await step(hop, 0)
        provider.streams[0].say(heard.answers[0])
        await asyncio.sleep(0.001)
        assert isinstance(hop.end, BadMessage)
        assert "answered before" in str(hop.end)
        assert heard.lies == []

    in_virtual_time(story())


def test_an_answer_to_a_step_that_was_never_sent_is_a_bad_message(
    swarm: Any, open_hop: Any, in_virtual_time: Run
) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6)
        heard = Listener(provider)
        hop = await open_hop(provider, heard.lies.append)
        await step(hop, 0)
        stream = provider.streams[0]
        stream.say(replace(heard.answers[0], seq=1, receipt=stream.signed(heard.answers[0].receipt, seq=1)))
        await asyncio.sleep(0.001)
        assert isinstance(hop.end, BadMessage)
        assert "waits for no answer" in str(hop.end)

    in_virtual_time(story())


def test_a_second_receipt_that_is_not_signed_is_a_bad_receipt(swarm: Any, open_hop: Any, in_virtual_time: Run) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6)
        heard = Listener(provider)
        hop = await open_hop(provider, heard.lies.append)
        await step(hop, 0)
        forged = replace(heard.answers[0].receipt, out_hash=OTHER_HASH)
        provider.streams[0].say(replace(heard.answers[0], receipt=forged))
        await asyncio.sleep(0.001)
        assert isinstance(hop.end, BadReceipt)
        assert "signature" in str(hop.end)
        assert heard.lies == [hop.end]

    in_virtual_time(story())


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"out_hash": OTHER_HASH}, "its out_hash is not"),
        ({"in_hash": OTHER_HASH}, "its in_hash is not"),
        ({"in_chain": OTHER_HASH}, "its in_chain is not"),
        ({"seq": 5}, "its seq is not"),
    ],
)
def test_an_only_receipt_that_is_wrong_names_what_is(
    swarm: Any, open_hop: Any, in_virtual_time: Run, changes: dict[str, Any], match: str
) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6)
        hop = await open_hop(provider)
        stream = provider.streams[0]
        say = stream.say

        def lying(message: Any) -> None:
            if isinstance(message, StepOutput):
                message = replace(message, receipt=stream.signed(message.receipt, **changes))
            say(message)

        stream.say = lying
        with pytest.raises(BadReceipt, match=match):
            await step(hop, 0)

    in_virtual_time(story())


def test_a_receipt_of_a_stranger_is_a_bad_receipt(swarm: Any, open_hop: Any, in_virtual_time: Run) -> None:
    async def story() -> None:
        provider = swarm.add(0, 6)
        hop = await open_hop(provider)
        provider.key = NodeKey(b"x" * 32)
        provider.streams[0]._issuer._signer = provider.key
        with pytest.raises(PeerFault, match="signature") as caught:
            await step(hop, 0)
        assert isinstance(caught.value, BadReceipt)

    in_virtual_time(story())
