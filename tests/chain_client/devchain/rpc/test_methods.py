"""Every method over a WebSocket, with the real runtime."""

import pytest
import wasmtime
from devchain_tools import ALICE, BOB, UNIT, Account, account_key, free_of, sudo_call, transfer_call
from rpc_tools import Client, RefusedCall, StartChain, call

from chain_client.devchain.code import unpacked
from chain_client.devchain.executor import Limits
from chain_client.devchain.hashing import blake2_256
from chain_client.devchain.rpc.session import Node
from chain_client.devchain.scale import byte_vector
from chain_client.devchain.service import DevChain

ALICE_ADDRESS = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
UNKNOWN = f"0x{'77' * 32}"


async def transfer(chain: DevChain, nonce: int, account: Account = ALICE, tip: int = 0) -> str:
    """A signed transfer in hexadecimal."""
    signed = await chain.on_chain(
        lambda backend: account.sign(backend.chain, transfer_call(BOB.public, UNIT), nonce, tip)
    )
    return f"0x{signed.hex()}"


async def refused(client: Client, method: str, *params: object) -> tuple[int, str]:
    with pytest.raises(RefusedCall) as caught:
        await client.call(method, *params)
    return caught.value.code, f"{caught.value}; {caught.value.data}"


async def test_every_method_that_is_listed_is_there(client: Client) -> None:
    for name in (await client.call("rpc_methods"))["methods"]:
        answer = await client.answer(call(name))
        assert answer.get("error", {}).get("code") not in (-32601, -32603), name


async def test_what_polkadot_clients_need_is_listed(client: Client) -> None:
    methods = set((await client.call("rpc_methods"))["methods"])
    needed = """author_pendingExtrinsics author_submitAndWatchExtrinsic author_submitExtrinsic author_unwatchExtrinsic
        chain_getBlock chain_getBlockHash chain_getFinalizedHead chain_getHead chain_getHeader chain_subscribeAllHeads
        chain_subscribeFinalizedHeads chain_subscribeNewHeads chain_unsubscribeAllHeads
        chain_unsubscribeFinalizedHeads chain_unsubscribeNewHeads payment_queryInfo payment_queryFeeDetails rpc_methods
        state_call state_getKeysPaged state_getMetadata state_getRuntimeVersion state_getStorage state_getStorageAt
        state_getStorageHash state_getStorageSize state_queryStorageAt state_subscribeRuntimeVersion
        state_subscribeStorage state_unsubscribeRuntimeVersion state_unsubscribeStorage system_accountNextIndex
        system_chain system_chainType system_health system_localPeerId system_name system_nodeRoles system_peers
        system_properties system_version engine_createBlock engine_finalizeBlock"""
    assert set(needed.split()) <= methods


async def test_blocks_are_found_by_number_and_hash(chain: DevChain, client: Client) -> None:
    created = await client.call("engine_createBlock", True, True, None)
    genesis, first = await client.call("chain_getBlockHash", [0, "0x1"])
    assert created["hash"] == first == await client.call("chain_getBlockHash") == await client.call("chain_getHead")
    assert await client.call("chain_getBlockHash", 2) is None
    assert await client.call("chain_getBlockHash", 2**40) is None
    header = await client.call("chain_getHeader")
    assert (header["number"], header["parentHash"]) == ("0x1", genesis)
    block = await client.call("chain_getBlock", first)
    assert block["block"]["header"] == header
    assert len(block["block"]["extrinsics"]) == 1
    assert await client.call("chain_getBlock", UNKNOWN) is None
    assert await client.call("chain_getHeader", UNKNOWN) is None


@pytest.mark.parametrize("number", ["7", "0x", "0xzz", "0x_1", "0x 1", -1, 1.5, True, {}, "0x" + "1" * 17, [[0]]])
async def test_what_is_no_block_number_is_refused(client: Client, number: object) -> None:
    assert (await refused(client, "chain_getBlockHash", number))[0] == -32602


async def test_storage_now_and_before(chain: DevChain, client: Client) -> None:
    key = f"0x{account_key(BOB.public).hex()}"
    before = await client.call("chain_getBlockHash")
    old = await client.call("state_getStorage", key)
    await client.call("author_submitExtrinsic", await transfer(chain, 0))
    after = (await client.call("engine_createBlock", False, True))["hash"]
    new = await client.call("state_getStorage", key)
    assert old != new
    assert await client.call("state_getStorage", key, before) == old
    assert await client.call("state_getStorageAt", key, after) == new
    assert await client.call("state_getStorageSize", key) == len(new) // 2 - 1
    assert await client.call("state_getStorageHash", key) == f"0x{blake2_256(bytes.fromhex(new[2:])).hex()}"
    assert await client.call("state_queryStorageAt", [key, "0x00"], before) == [
        {"block": before, "changes": [[key, old], ["0x00", None]]}
    ]
    for method in ("state_getStorage", "state_getStorageSize", "state_getStorageHash"):
        assert await client.call(method, "0x00") is None


async def test_keys_come_in_pages(client: Client) -> None:
    everything = await client.call("state_getKeysPaged", None, 1000)
    assert everything == sorted(everything)
    paged: list[str] = []
    while page := await client.call("state_getKeysPaged", "0x", 7, paged[-1] if paged else None):
        paged += page
    assert paged == everything
    prefix = f"0x{account_key(BOB.public)[:32].hex()}"
    accounts = await client.call("state_getKeysPaged", prefix, 1000)
    assert accounts == [key for key in everything if key.startswith(prefix)]
    assert (await refused(client, "state_getKeysPaged", None, 1001))[0] == 4002


@pytest.mark.parametrize("method", ["state_getMetadata", "state_getRuntimeVersion"])
async def test_a_block_that_nobody_knows_is_an_error(client: Client, method: str) -> None:
    assert (await refused(client, method, UNKNOWN))[0] == 4003


async def test_a_pruned_state_is_an_error(start_chain: StartChain) -> None:
    chain = await start_chain(states_kept=2)
    async with Client.of(chain) as client:
        for _ in range(3):
            await client.call("engine_createBlock", True, True)
        genesis = await client.call("chain_getBlockHash", 0)
        code, text = await refused(client, "state_getStorage", "0x00", genesis)
        assert code == 4003
        assert "pruned" in text


async def test_calls_into_the_runtime(client: Client) -> None:
    assert await client.call("state_call", "AccountNonceApi_account_nonce", f"0x{ALICE.public.hex()}") == "0x00000000"
    code, text = await refused(client, "state_call", "No_such", "0x")
    assert (code, "No_such" in text) == (4003, True)
    code, text = await refused(client, "state_call", "AccountNonceApi_account_nonce", "0x00")
    assert (code, "Execution failed" in text) == (4003, True)


async def test_metadata_is_that_of_version_14(client: Client) -> None:
    assert (await client.call("state_getMetadata")).startswith("0x6d6574610e")


async def test_the_runtime_version(client: Client) -> None:
    version = await client.call("state_getRuntimeVersion")
    assert version["specName"] == "peerz"
    assert all(len(identifier) == 18 and isinstance(number, int) for identifier, number in version["apis"])
    assert version == await client.call("chain_getRuntimeVersion")


async def test_fees(chain: DevChain, client: Client) -> None:
    signed = await transfer(chain, 0)
    info = await client.call("payment_queryInfo", signed)
    assert info["class"] == "normal"
    assert info["weight"].keys() == {"ref_time", "proof_size"}
    details = (await client.call("payment_queryFeeDetails", signed))["inclusionFee"]
    assert sum(int(part, 16) for part in details.values()) == int(info["partialFee"]) > 0
    assert (await refused(client, "payment_queryInfo", "0x00"))[0] == 4003


async def test_a_transaction_waits_until_a_block_is_made(chain: DevChain, client: Client) -> None:
    signed = await transfer(chain, 0)
    expected = f"0x{blake2_256(bytes.fromhex(signed[2:])).hex()}"
    assert await client.call("author_submitExtrinsic", signed) == expected
    assert await client.call("author_pendingExtrinsics") == [signed]
    assert await client.call("system_accountNextIndex", ALICE_ADDRESS) == 1
    block = (await client.call("engine_createBlock", False, True))["hash"]
    assert signed in (await client.call("chain_getBlock", block))["block"]["extrinsics"]
    assert await client.call("author_pendingExtrinsics") == []
    assert await client.call("account_nextIndex", ALICE_ADDRESS) == 1


async def test_the_pool_refuses_with_the_codes_of_nodes(chain: DevChain, client: Client) -> None:
    good = await transfer(chain, 0)
    in_signature = 2 + 2 * 50
    forged = good[:in_signature] + ("0" if good[in_signature] != "0" else "1") + good[in_signature + 1 :]
    assert (await refused(client, "author_submitExtrinsic", "0x1234"))[0] == 1001
    code, text = await refused(client, "author_submitExtrinsic", forged)
    assert (code, text) == (1010, "Invalid Transaction; its signature does not match")
    await client.call("author_submitExtrinsic", good)
    assert (await refused(client, "author_submitExtrinsic", good))[0] == 1013
    assert (await refused(client, "author_submitExtrinsic", await transfer(chain, 0, tip=0)))[0] in (1013, 1014)
    await client.call("engine_createBlock", True, True)
    assert (await refused(client, "author_submitExtrinsic", good))[0] == 1010


async def test_blocks_by_hand(client: Client) -> None:
    assert (await refused(client, "engine_createBlock", False, True))[0] == 12_000
    genesis = await client.call("chain_getBlockHash", 0)
    first = (await client.call("engine_createBlock", True, False, genesis))["hash"]
    assert await client.call("chain_getFinalizedHead") == genesis
    assert (await refused(client, "engine_createBlock", True, False, genesis))[0] == -32602
    assert (await refused(client, "engine_createBlock", True, False, UNKNOWN))[0] == 13_000
    assert await client.call("engine_finalizeBlock", first) is True
    assert await client.call("chain_getFinalizedHead") == first
    assert (await refused(client, "engine_finalizeBlock", UNKNOWN))[0] == 13_000


async def test_time_travel(client: Client) -> None:
    now = await client.call("dev_time")
    later = await client.call("dev_advanceTime", 3_600_000)
    assert 3_600_000 <= later - now < 3_700_000
    assert (await refused(client, "dev_advanceTime", -1))[0] == -32602


def test_strangers_neither_seal_nor_travel() -> None:
    class Nothing:
        pass

    methods = Node.of(Nothing(), Nothing(), Nothing(), unsafe=False).method_names()  # type: ignore[arg-type]
    assert not [name for name in methods if name.startswith(("engine_", "dev_"))]


async def test_heads_come_in_order_the_present_one_first(client: Client) -> None:
    heads = await client.call("chain_subscribeNewHeads")
    final = await client.call("chain_subscribeFinalizedHeads")
    assert (await client.next(heads))["number"] == (await client.next(final))["number"] == "0x0"
    for finalise in (False, True):
        await client.call("engine_createBlock", True, finalise)
    assert [(await client.next(heads))["number"] for _ in range(2)] == ["0x1", "0x2"]
    assert (await client.next(final))["number"] == "0x2"
    assert await client.call("chain_unsubscribeNewHeads", heads) is True
    assert await client.call("chain_unsubscribeNewHeads", heads) is False
    await client.call("engine_createBlock", True, True)
    assert (await client.next(final))["number"] == "0x3"
    assert client.waiting(heads) == 0


async def test_a_watched_transaction_tells_its_life(chain: DevChain, client: Client) -> None:
    second = await client.call("author_submitAndWatchExtrinsic", await transfer(chain, 1))
    assert await client.next(second) == "future"
    first = await client.call("author_submitAndWatchExtrinsic", await transfer(chain, 0))
    assert [await client.next(watch) for watch in (first, second)] == ["ready", "ready"]
    block = (await client.call("engine_createBlock", False, False))["hash"]
    for watch in (first, second):
        assert await client.next(watch) == {"inBlock": block}
    await client.call("engine_finalizeBlock", block)
    for watch in (first, second):
        assert await client.next(watch) == {"finalized": block}
    # Nothing more can come, so the subscription is over by itself.
    assert await client.call("author_unwatchExtrinsic", first) is False


async def test_a_replaced_transaction_is_told(chain: DevChain, client: Client) -> None:
    watch = await client.call("author_submitAndWatchExtrinsic", await transfer(chain, 0))
    assert await client.next(watch) == "ready"
    better = await client.call("author_submitExtrinsic", await transfer(chain, 0, tip=UNIT))
    assert await client.next(watch) == {"usurped": better}


async def test_watching_what_is_refused_opens_nothing(chain: DevChain, client: Client) -> None:
    good = await transfer(chain, 0)
    await client.call("author_submitExtrinsic", good)
    assert (await refused(client, "author_submitAndWatchExtrinsic", good))[0] == 1013
    await client.call("engine_createBlock", True, True)
    await client.call("system_health")
    assert client._notifications == {}


async def test_storage_is_told_when_it_changes(chain: DevChain, client: Client) -> None:
    key, silent = f"0x{account_key(BOB.public).hex()}", "0x00"
    watch = await client.call("state_subscribeStorage", [key, silent, key])
    first = await client.next(watch)
    assert first["changes"] == [[key, await client.call("state_getStorage", key)], [silent, None]]
    await client.call("engine_createBlock", True, True)
    await client.call("author_submitExtrinsic", await transfer(chain, 0))
    block = (await client.call("engine_createBlock", False, True))["hash"]
    change = await client.next(watch)
    assert change == {"block": block, "changes": [[key, await client.call("state_getStorage", key)]]}
    assert await client.call("state_unsubscribeStorage", watch) is True


@pytest.mark.parametrize("keys", [[], None, "0x00", [1], ["0x0"]])
async def test_a_storage_subscription_names_its_keys(client: Client, keys: object) -> None:
    assert (await refused(client, "state_subscribeStorage", keys))[0] == -32602


async def set_code(chain: DevChain, client: Client, code: bytes) -> None:
    """A block with which the root account replaces the runtime, unchecked."""
    upgrade = sudo_call(b"\0\3" + byte_vector(code))
    signed = await chain.on_chain(lambda backend: ALICE.sign(backend.chain, upgrade, 0))
    await client.call("author_submitExtrinsic", f"0x{signed.hex()}")
    await client.call("engine_createBlock", False, True)


async def test_another_runtime_is_told(chain: DevChain, client: Client, code: bytes) -> None:
    watch = await client.call("state_subscribeRuntimeVersion")
    assert (await client.next(watch))["specVersion"] == 1
    await client.call("engine_createBlock", True, True)
    assert client.waiting(watch) == 0
    await set_code(chain, client, unpacked(code) + b"\0\5\4note")
    assert await client.next(watch) == await client.call("state_getRuntimeVersion")


RUNAWAY = """(module
    (import "env" "memory" (memory 20))
    (global (export "__heap_base") i32 (i32.const 65536))
    (func (export "Test_loop") (param i32 i32) (result i64) (loop (br 0)) (unreachable))
    (func (export "Test_eat") (param i32 i32) (result i64)
        (loop (br_if 0 (i32.ne (i32.const -1) (memory.grow (i32.const 1))))) (unreachable))
    (func $deeper (param i32 i32) (result i64) (call $deeper (local.get 0) (local.get 1)))
    (export "Test_deep" (func $deeper))
    (func (export "Test_trap") (param i32 i32) (result i64) (unreachable))
    (func (export "Test_lie") (param i32 i32) (result i64) (i64.const -1)))"""


async def test_a_runtime_that_runs_away_costs_an_error(start_chain: StartChain) -> None:
    chain = await start_chain(call=Limits(fuel=500_000_000))
    async with Client.of(chain) as client:
        genesis = await client.call("chain_getBlockHash")
        await set_code(chain, client, bytes(wasmtime.wat2wasm(RUNAWAY)))
        for method in ("loop", "eat", "deep", "trap", "lie", "none"):
            code, text = await refused(client, "state_call", f"Test_{method}", "0x")
            assert code == 4003, text
        # No block can follow, yet everything that was can still be read, and older runtimes called.
        assert (await refused(client, "engine_createBlock", True, True))[0] == 4003
        assert (await client.call("chain_getHeader"))["number"] == "0x1"
        account = f"0x{ALICE.public.hex()}"
        assert await client.call("state_call", "AccountNonceApi_account_nonce", account, genesis) == "0x00000000"


async def test_what_a_failing_call_leaves_is_the_fee(chain: DevChain, client: Client) -> None:
    signed = await chain.on_chain(
        lambda backend: ALICE.sign(backend.chain, transfer_call(BOB.public, 10**30), 0),
    )

    async def balances() -> list[int]:
        state = await chain.on_chain(lambda backend: backend.chain.state_at(backend.chain.head.hash))
        return [free_of(state, account.public) for account in (ALICE, BOB)]

    alice, bob = await balances()
    fee = int((await client.call("payment_queryInfo", f"0x{signed.hex()}"))["partialFee"])
    await client.call("author_submitExtrinsic", f"0x{signed.hex()}")
    await client.call("engine_createBlock", False, True)
    assert await balances() == [alice - fee, bob]
    assert await client.call("system_accountNextIndex", ALICE_ADDRESS) == 1


async def test_batches_are_answered_in_order(client: Client) -> None:
    answers = await client.answer(
        [
            {"jsonrpc": "2.0", "id": "b", "method": "system_chain"},
            7,
            {"jsonrpc": "2.0", "method": "system_name"},
            {"jsonrpc": "2.0", "id": "a", "method": "nonsense"},
        ]
    )
    assert [(answer["id"], answer.get("error", {}).get("code")) for answer in answers] == [
        ("b", None),
        (None, -32600),
        ("a", -32601),
    ]


async def test_notifications_are_not_answered(chain: DevChain, client: Client) -> None:
    await client.socket.send_json({"jsonrpc": "2.0", "method": "engine_createBlock", "params": [True, True]})
    await client.socket.send_json([{"jsonrpc": "2.0", "method": "nonsense"}])
    assert (await client.call("chain_getHeader"))["number"] == "0x1"
