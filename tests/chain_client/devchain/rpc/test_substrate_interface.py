"""Stock substrate-interface, unchanged, against the real runtime."""

import contextlib
from collections.abc import Iterator

import pytest
from conftest import ServedChain
from substrateinterface import Keypair, SubstrateInterface  # type: ignore[import-untyped]
from substrateinterface.exceptions import SubstrateRequestException  # type: ignore[import-untyped]

from chain_client.devchain.seal import Seal

ALICE, BOB, CHARLIE = (Keypair.create_from_uri(f"//{name}") for name in ("Alice", "Bob", "Charlie"))
UNIT = 10**12


@contextlib.contextmanager
def connected(url: str) -> Iterator[SubstrateInterface]:
    client = SubstrateInterface(url=url)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def client(served_chain: ServedChain) -> Iterator[SubstrateInterface]:
    with served_chain() as chain, connected(chain.url) as opened:
        yield opened


def free(client: SubstrateInterface, account: Keypair) -> int:
    return int(client.query("System", "Account", [account.ss58_address]).value["data"]["free"])


def transfer(client: SubstrateInterface, value: int, pallet: str = "Balances") -> object:
    return client.compose_call(pallet, "transfer_keep_alive", {"dest": BOB.ss58_address, "value": value})


def test_it_knows_the_chain(client: SubstrateInterface) -> None:
    assert (client.chain, client.name, client.ss58_format) == ("Peerz Development", "peerz-node", 42)
    assert client.token_symbol == "PRZ"
    assert client.token_decimals == 12
    assert client.get_block()["header"]["number"] == 0
    assert "Peerz" in [pallet.name for pallet in client.get_metadata().pallets]


@pytest.mark.parametrize("wait", ["inclusion", "finalization"])
def test_a_transfer_is_watched_into_its_block(client: SubstrateInterface, wait: str) -> None:
    call = transfer(client, UNIT)
    fee = client.get_payment_info(call, ALICE)["partialFee"]
    alice, bob = free(client, ALICE), free(client, BOB)
    signed = client.create_signed_extrinsic(call, ALICE)
    receipt = client.submit_extrinsic(signed, **{f"wait_for_{wait}": True})
    assert receipt.is_success
    assert receipt.total_fee_amount == fee
    events = [event.value["event_id"] for event in receipt.triggered_events]
    assert "Transfer" in events
    assert events[-1] == "ExtrinsicSuccess"
    assert (free(client, ALICE), free(client, BOB)) == (alice - UNIT - fee, bob + UNIT)
    assert client.get_account_nonce(ALICE.ss58_address) == 1
    (found,) = [
        extrinsic
        for extrinsic in client.get_block(receipt.block_hash)["extrinsics"]
        if extrinsic.value["extrinsic_hash"] == receipt.extrinsic_hash
    ]
    assert found.value["call"]["call_function"] == "transfer_keep_alive"


def test_a_call_that_fails_names_its_error_and_costs_its_fee(client: SubstrateInterface) -> None:
    bob = free(client, BOB)
    as_root = client.compose_call("Sudo", "sudo", {"call": transfer(client, UNIT)})
    receipt = client.submit_extrinsic(client.create_signed_extrinsic(as_root, BOB), wait_for_inclusion=True)
    assert not receipt.is_success
    assert receipt.error_message["name"] == "RequireSudo"
    assert free(client, BOB) == bob - receipt.total_fee_amount


def test_refusals_come_as_its_own_exception(client: SubstrateInterface) -> None:
    call = transfer(client, UNIT)
    stale = client.create_signed_extrinsic(call, ALICE, nonce=0)
    client.submit_extrinsic(stale, wait_for_inclusion=True)
    with pytest.raises(SubstrateRequestException, match="1010"):
        client.submit_extrinsic(stale, wait_for_inclusion=True)
    stranger = Keypair.create_from_uri("//Nobody")
    with pytest.raises(SubstrateRequestException, match="1010"):
        client.submit_extrinsic(client.create_signed_extrinsic(call, stranger))


def test_maps_are_read_page_by_page_now_and_before(client: SubstrateInterface) -> None:
    def accounts(block_hash: str | None = None) -> dict[str, int]:
        found = client.query_map("System", "Account", page_size=2, block_hash=block_hash)
        return {account.value: info.value["data"]["free"] for account, info in found}

    genesis = client.get_block_hash(0)
    before = accounts()
    assert {ALICE.ss58_address, BOB.ss58_address} < before.keys()
    client.submit_extrinsic(client.create_signed_extrinsic(transfer(client, UNIT), ALICE), wait_for_inclusion=True)
    assert accounts()[BOB.ss58_address] == before[BOB.ss58_address] + UNIT
    assert accounts(genesis) == before


def test_several_keys_in_one_question(client: SubstrateInterface) -> None:
    keys = [client.create_storage_key("System", "Account", [who.ss58_address]) for who in (ALICE, CHARLIE)]
    values = [value.value["nonce"] for _, value in client.query_multi(keys)]
    assert values == [0, 0]


def test_storage_is_watched(client: SubstrateInterface) -> None:
    seen: list[int] = []

    def heard(value: object, number: int, subscription: str) -> object:
        seen.append(value.value["data"]["free"])  # type: ignore[attr-defined]
        if number == 0:
            with connected(client.url) as other:
                signed = other.create_signed_extrinsic(transfer(other, UNIT), ALICE)
                other.submit_extrinsic(signed, wait_for_inclusion=True)
            return None
        return "end"

    client.query("System", "Account", [BOB.ss58_address], subscription_handler=heard)
    assert seen[1] - seen[0] == UNIT


def test_heads_are_watched(served_chain: ServedChain) -> None:
    with served_chain(seal=Seal(interval_ms=50)) as chain, connected(chain.url) as client:

        def heard(head: dict[str, dict[str, int]], count: int, subscription: str) -> object:
            return head["header"]["number"] if count == 2 else None

        assert client.subscribe_block_headers(heard) >= 2
        assert client.subscribe_block_headers(heard, finalized_only=True) >= 4


def test_batches_of_calls_and_constants(client: SubstrateInterface) -> None:
    calls = [transfer(client, value * UNIT) for value in (1, 2)]
    both = client.compose_call("Utility", "batch_all", {"calls": calls})
    bob = free(client, BOB)
    receipt = client.submit_extrinsic(client.create_signed_extrinsic(both, ALICE), wait_for_inclusion=True)
    assert receipt.is_success
    assert free(client, BOB) == bob + 3 * UNIT
    assert client.get_constant("Balances", "ExistentialDeposit").value > 0
    assert client.runtime_call("AccountNonceApi", "account_nonce", [ALICE.ss58_address]).value == 1


def test_mortal_transactions(client: SubstrateInterface) -> None:
    signed = client.create_signed_extrinsic(transfer(client, UNIT), ALICE, era={"period": 64})
    assert client.submit_extrinsic(signed, wait_for_inclusion=True).is_success


def test_over_http(served_chain: ServedChain) -> None:
    with served_chain() as chain, connected(chain.url.replace("ws://", "http://")) as client:
        bob = free(client, BOB)
        signed = client.create_signed_extrinsic(transfer(client, UNIT), ALICE)
        assert client.submit_extrinsic(signed).extrinsic_hash
        while free(client, BOB) == bob:
            pass
        assert free(client, BOB) == bob + UNIT
