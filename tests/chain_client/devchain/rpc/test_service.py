"""The whole node: ways of sealing, going on with what is stored, ending."""

import asyncio
import threading
from pathlib import Path

import pytest
from devchain_tools import ALICE, BOB, UNIT, transfer_call
from rpc_tools import Client, StartChain

from chain_client.devchain.errors import DevchainError, StoreError
from chain_client.devchain.rpc.backend import Backend
from chain_client.devchain.seal import Seal
from chain_client.devchain.service import DevChain


async def transfer(chain: DevChain, nonce: int) -> str:
    signed = await chain.on_chain(lambda backend: ALICE.sign(backend.chain, transfer_call(BOB.public, UNIT), nonce))
    return f"0x{signed.hex()}"


async def test_instant_seals_with_each_transaction_and_never_without(start_chain: StartChain) -> None:
    chain = await start_chain(seal=Seal(instant=True))
    async with Client.of(chain) as client:
        heads = await client.call("chain_subscribeNewHeads")
        await client.next(heads)
        for nonce in range(3):
            await client.call("author_submitExtrinsic", await transfer(chain, nonce))
            assert (await client.next(heads))["number"] == hex(nonce + 1)
        assert await client.call("author_pendingExtrinsics") == []
        assert client.waiting(heads) == 0


async def test_interval_seals_without_transactions_too(start_chain: StartChain) -> None:
    chain = await start_chain(seal=Seal(interval_ms=20))
    async with Client.of(chain) as client:
        heads = await client.call("chain_subscribeFinalizedHeads")
        seen = [int((await client.next(heads))["number"], 16) for _ in range(5)]
        assert seen == list(range(seen[0], seen[0] + 5))


async def test_manual_waits(start_chain: StartChain) -> None:
    chain = await start_chain()
    async with Client.of(chain) as client:
        await client.call("author_submitExtrinsic", await transfer(chain, 0))
        await asyncio.sleep(0.1)
        assert (await client.call("chain_getHeader"))["number"] == "0x0"


async def test_a_block_that_fails_is_tried_again(
    start_chain: StartChain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chain = await start_chain(seal=Seal(instant=True))
    whole, failures = Backend.seal, [StoreError("the disk is full")]

    def failing(backend: Backend, **options: bool) -> object:
        if failures:
            raise failures.pop()
        return whole(backend, **options)

    monkeypatch.setattr(Backend, "seal", failing)
    async with Client.of(chain) as client:
        watch = await client.call("author_submitAndWatchExtrinsic", await transfer(chain, 0))
        assert await client.next(watch) == "ready"
        assert (await client.next(watch)).keys() == {"inBlock"}
    assert "the disk is full" in caplog.text


async def test_a_chain_goes_on_where_it_was(start_chain: StartChain, tmp_path: Path) -> None:
    chain = await start_chain(data=tmp_path / "chain", seal=Seal(instant=True))
    async with Client.of(chain) as client:
        watch = await client.call("author_submitAndWatchExtrinsic", await transfer(chain, 0))
        while "finalized" not in await client.next(watch):
            pass
        head = await client.call("chain_getFinalizedHead")
    await chain.close()
    again = await start_chain(data=tmp_path / "chain")
    async with Client.of(again) as client:
        assert await client.call("chain_getFinalizedHead") == head
        assert (await client.call("engine_createBlock", True, True))["hash"]
        assert (await client.call("chain_getHeader"))["parentHash"] == head


async def test_one_directory_has_one_chain(start_chain: StartChain, tmp_path: Path) -> None:
    await start_chain(data=tmp_path / "chain")
    with pytest.raises(StoreError, match="open in another process"):
        await start_chain(data=tmp_path / "chain")


async def test_a_port_in_use_is_an_error_that_leaves_nothing_behind(start_chain: StartChain, tmp_path: Path) -> None:
    first = await start_chain()
    with pytest.raises(OSError):
        await start_chain(port=first.port, data=tmp_path / "chain")
    await start_chain(data=tmp_path / "chain")


async def test_after_the_end_nothing_runs(start_chain: StartChain) -> None:
    chain = await start_chain(seal=Seal(interval_ms=20))
    await chain.close()
    await chain.close()
    with pytest.raises(DevchainError, match="does not run"):
        await chain.on_chain(lambda backend: None)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("chain")]


async def test_the_loop_is_free_while_the_runtime_works(start_chain: StartChain) -> None:
    chain = await start_chain()
    working, stop = threading.Event(), threading.Event()
    job = asyncio.create_task(chain.on_chain(lambda backend: (working.set(), stop.wait(30))))
    async with Client.of(chain) as client:
        await asyncio.to_thread(working.wait, 30)
        assert (await client.call("system_health"))["peers"] == 0
        assert not job.done()
        stop.set()
        await job


async def test_what_a_job_does_is_told_even_if_it_fails(start_chain: StartChain) -> None:
    chain = await start_chain()

    def seal_and_fail(backend: Backend) -> None:
        backend.seal()
        raise DevchainError("after the block")

    async with Client.of(chain) as client:
        heads = await client.call("chain_subscribeNewHeads")
        await client.next(heads)
        with pytest.raises(DevchainError, match="after the block"):
            await chain.on_chain(seal_and_fail)
        assert (await client.next(heads))["number"] == "0x1"


async def test_a_bug_in_a_method_is_an_internal_error(start_chain: StartChain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = await start_chain()

    def broken(backend: Backend, **options: bool) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Backend, "seal", broken)
    async with Client.of(chain) as client:
        answer = await client.answer(
            {"jsonrpc": "2.0", "id": 1, "method": "engine_createBlock", "params": [True, True]},
        )
        assert answer["error"] == {"code": -32603, "message": "Internal error"}
