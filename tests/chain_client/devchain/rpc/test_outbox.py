"""What waits for a slow client is bounded."""

import asyncio

import pytest

from chain_client.devchain.rpc.limits import RpcLimits
from chain_client.devchain.rpc.outbox import Outbox, SlowClient

WAIT_S = 10.0


class Wire:
    """Takes a message when the test lets it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.open = asyncio.Event()
        self.began = asyncio.Event()
        self.third = asyncio.Event()

    async def send(self, message: bytes) -> None:
        self.began.set()
        await self.open.wait()
        self.sent.append(message)
        if len(self.sent) == 3:
            self.third.set()


async def test_messages_go_out_in_order() -> None:
    wire = Wire()
    wire.open.set()
    outbox = Outbox(wire.send, RpcLimits())
    task = asyncio.create_task(outbox.run())
    outbox.put(b"1")
    outbox.notify(b"2")
    outbox.put(b"3")
    await asyncio.wait_for(wire.third.wait(), WAIT_S)
    task.cancel()
    assert wire.sent == [b"1", b"2", b"3"]


@pytest.mark.parametrize("limits", [RpcLimits(queued_messages=3), RpcLimits(queued_bytes=3)], ids=["count", "bytes"])
async def test_too_many_notifications_drop_the_client(limits: RpcLimits) -> None:
    wire = Wire()
    outbox = Outbox(wire.send, limits)
    task = asyncio.create_task(outbox.run())
    outbox.notify(b"x")
    await wire.began.wait()
    for _ in range(5):
        outbox.notify(b"x")
    wire.open.set()
    with pytest.raises(SlowClient, match="too slow"):
        await asyncio.wait_for(task, WAIT_S)
    assert wire.sent == [b"x"]


async def test_a_message_that_is_not_taken_drops_the_client() -> None:
    outbox = Outbox(Wire().send, RpcLimits(send_s=0.01))
    outbox.put(b"x")
    with pytest.raises(SlowClient, match="took nothing"):
        await asyncio.wait_for(outbox.run(), WAIT_S)


async def test_the_next_answer_waits_for_room() -> None:
    wire = Wire()
    outbox = Outbox(wire.send, RpcLimits(response_bytes=10))
    task = asyncio.create_task(outbox.run())
    outbox.put(b"x" * 10)
    await asyncio.wait_for(outbox.room(), WAIT_S)
    outbox.put(b"x")
    room = asyncio.create_task(outbox.room())
    await wire.began.wait()
    assert not room.done()
    wire.open.set()
    await asyncio.wait_for(room, WAIT_S)
    task.cancel()
