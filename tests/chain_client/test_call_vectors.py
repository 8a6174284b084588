"""Golden vectors: what every call, storage key and signed payload is in bytes.

They are made from the committed runtime's metadata by stock substrate-interface, and replayed by the runtime itself in
`pallets/runtime/src/tests/client_vectors.rs`, which builds the same values from its own types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset
from substrateinterface import SubstrateInterface
from substrateinterface.storage import StorageKey

from chain_client import calls
from chain_client.account import Account
from chain_client.binding import Binding
from chain_client.calls import Call
from chain_client.decoding import encode
from chain_client.devchain.executor import Executor
from chain_client.devchain.runtime import RUNTIME_FILE, Runtime
from chain_client.parameters import Parameters
from chain_client.transactions import composed
from chain_client.types import (
    AccountId,
    Entry,
    LeafProof,
    ModelShape,
    Receipt,
    RoleKind,
    RoleTerms,
    SessionLeaf,
    SignedReceipt,
)

ALICE, BOB = Account.development("alice").account, Account.development("bob").account
H = [bytes([n]) * 32 for n in range(10)]
GENESIS, ERA_BLOCK = bytes([0xAA]) * 32, bytes([0xBB]) * 32
TERMS = RoleTerms(True, 1, 2, 3 * 10**12, 4)
RECEIPT = Receipt(1, 2, 3, 4, H[5], H[6], H[7])
SESSION = bytes(range(16))
PARAMETERS = Parameters(**{field.name: number for number, field in enumerate(fields(Parameters), start=1)})

CALLS: dict[str, Call] = {
    "transfer": calls.transfer(BOB, 12_345_678_901_234),
    "set_parameters": calls.set_parameters(PARAMETERS),
    "pause": calls.pause(),
    "resume": calls.resume(),
    "add_role": calls.add_role("artists", RoleKind.MEMBER, TERMS),
    "change_role": calls.change_role(4, TERMS),
    "spend_treasury": calls.spend_treasury(BOB, 10**24),
    "bond": calls.bond(1, 100),
    "unbond": calls.unbond(1, 2**128 - 1),
    "withdraw_unbonded": calls.withdraw_unbonded(1),
    "register_provider": calls.register_provider(),
    "register_validator": calls.register_validator(H[1]),
    "set_seed_chain": calls.set_seed_chain(H[2]),
    "register_model": calls.register_model(H[3], ModelShape(30, 3_540_000, 576)),
    "join_role": calls.join_role(3),
    "leave": calls.leave(7),
    "release": calls.release(2**32 - 1),
    "bind_node_key": calls.bind_node_key(Binding(ALICE, H[1], 1_800_000_000, bytes([2]) * 64, bytes([3]) * 64)),
    "retire_node_key": calls.retire_node_key(),
    "release_node_key": calls.release_node_key(H[4]),
    "vote": calls.vote({2: 4_000, 0: 6_000}, 50),
    "vote_evicting": calls.vote({0: 10_000}, 60, evict=BOB),
    "remove_vote": calls.remove_vote(),
    "unlock_vote": calls.unlock_vote(),
    "submit_work_root": calls.submit_work_root(H[5], 9),
    "commit": calls.commit(H[6]),
    "reveal": calls.reveal((Entry(1, 2, 3, 4), Entry(5, 6, 2**64 - 1, 8)), H[1], H[2], H[3]),
    "reveal_nothing": calls.reveal((), H[1], H[2], H[3]),
    "finalise": calls.finalise(),
    "claim": calls.claim(3, 7),
    "plant_fault": calls.plant_fault(H[8]),
    "show_plant": calls.show_plant(5, H[9]),
    "report_equivocation": calls.report_equivocation(
        H[1], SESSION, SignedReceipt(RECEIPT, bytes([1]) * 64), SignedReceipt(RECEIPT, bytes([2]) * 64)
    ),
    "open_dispute": calls.open_dispute(3, H[1], H[2]),
    "judge_dispute": calls.judge_dispute(3, True),
    "close_dispute": calls.close_dispute(3),
    "apply_slash": calls.apply_slash(11),
    "cancel_slash": calls.cancel_slash(12),
    "resolve_held": calls.resolve_held(3, False),
    "refute_work_root": calls.refute_work_root(
        3, 7, LeafProof(SessionLeaf(SESSION, 9, H[1]), 0, (H[2], H[3])), LeafProof(SessionLeaf(SESSION, 9, H[1]), 5, ())
    ),
    "sudo": calls.as_root(calls.pause()),
}

KEYS: dict[str, tuple[Any, ...]] = {
    "Params": (),
    "PausedSince": (),
    "Roles": (1,),
    "NextRole": (),
    "RoleWeights": (),
    "Subjects": (7,),
    "SubjectCount": (),
    "NextSlot": (),
    "FreeSlots": (2,),
    "FreeSlotCount": (),
    "Generations": (7,),
    "SlotOf": (ALICE, 1),
    "Models": (H[1],),
    "ModelsOf": (ALICE,),
    "ValidatorSlots": (),
    "SeedChains": (7,),
    "Bonds": (ALICE, 1),
    "Accusations": (ALICE,),
    "NodeKeys": (H[1],),
    "NodeKeyOf": (ALICE,),
    "CurrentEpoch": (),
    "NextStep": (),
    "CurrentBooks": (),
    "Seeds": (3,),
    "EpochValidators": (3,),
    "Attestations": (3, 4),
    "RowPages": (3, 2, 4),
    "WorkRoots": (3, 7),
    "Plants": (3,),
    "Earnings": (3, 7),
    "Pools": (3, 1),
    "Carried": (1,),
    "Obligations": (),
    "ScarcityOf": (1,),
    "Votes": (ALICE,),
    "CounterForVotes": (),
    "VoteLocked": (),
    "ReviewNumber": (),
    "NextReview": (),
    "Reviews": (5,),
    "PendingSlashes": (5,),
    "NextSlash": (),
    "SlashedOf": (ALICE, 1),
    "SlashRate": (),
    "Disputes": (7,),
    "ClassFaults": (3, H[1]),
}


class Offline(SubstrateInterface):
    """Stock substrate-interface over given metadata, without a node."""

    def __init__(self, encoded: bytes) -> None:
        config = RuntimeConfigurationObject()
        for preset in ("core", "legacy"):
            config.update_type_registry(load_type_registry_preset(preset))
        metadata = config.create_scale_object("MetadataVersioned", data=ScaleBytes(encoded))
        metadata.decode()
        config.add_portable_registry(metadata)
        self.runtime_config, self.metadata = config, metadata
        self.runtime_version, self.transaction_version = 1, 1
        self.config = {"strict_scale_decode": True}

    def init_runtime(self, block_hash: object = None, block_id: object = None) -> None:
        pass

    def get_block_hash(self, block_id: int | None = None) -> str:
        return encode(GENESIS if block_id == 0 else ERA_BLOCK)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def offline(compiled: Any) -> Offline:
    return Offline(Runtime(Executor(RUNTIME_FILE.read_bytes(), compiled)).metadata)


def _call(offline: Offline, call: Call) -> str:
    return str(bytes(composed(offline, call).data.data).hex())


def _key(offline: Offline, item: str, keys: tuple[Any, ...]) -> str:
    made = StorageKey.create_from_storage_function(
        "Peerz", item, [encode(key) for key in keys], runtime_config=offline.runtime_config, metadata=offline.metadata
    )
    return made.to_hex().removeprefix("0x")  # type: ignore[no-any-return]


def _payload(offline: Offline, call: Call, nonce: int, tip: int) -> dict[str, Any]:
    made = offline.generate_signature_payload(
        call=composed(offline, call), era={"period": 64, "current": 70}, nonce=nonce, tip=tip
    )
    return {
        "call": _call(offline, call),
        "nonce": nonce,
        "tip": str(tip),
        "period": 64,
        "current": 70,
        "spec_version": 1,
        "transaction_version": 1,
        "genesis": GENESIS.hex(),
        "era_block": ERA_BLOCK.hex(),
        "signed": bytes(made.data).hex(),
    }


def test_calls_keys_and_payloads_are_those_of_the_vectors(
    offline: Offline, check_vectors: Callable[[str, object], None]
) -> None:
    made = {
        "calls": {name: _call(offline, call) for name, call in CALLS.items()},
        "keys": {item: _key(offline, item, keys) for item, keys in KEYS.items()},
        # A payload of more than 256 bytes is hashed before it is signed.
        "payloads": [
            _payload(offline, CALLS["transfer"], 0, 0),
            _payload(offline, CALLS["set_parameters"], 70_000, 5 * 10**12),
        ],
    }
    check_vectors("chain_calls", made)


def test_every_call_and_every_item_is_among_the_vectors(offline: Offline) -> None:
    pallet = next(pallet for pallet in offline.metadata.pallets if pallet.value["name"] == "Peerz")
    named = {call.function for call in CALLS.values() if call.pallet == "Peerz"}
    assert named == {call.value["name"] for call in pallet.calls}
    items = {item.value["name"] for item in pallet.storage if not item.value["name"].startswith(":")}
    assert items == KEYS.keys()


def test_bytes_decode_to_the_call_that_they_came_from(offline: Offline) -> None:
    for name, call in CALLS.items():
        data = ScaleBytes(bytes.fromhex(_call(offline, call)))
        decoded = offline.runtime_config.create_scale_object("Call", data=data, metadata=offline.metadata)
        value = decoded.decode()
        assert (value["call_module"], value["call_function"]) == (call.pallet, call.function), name
        assert [argument["name"] for argument in value["call_args"]] == list(call.args), name


def test_accounts_are_thirty_two_bytes_on_the_wire(offline: Offline) -> None:
    assert AccountId(ALICE).hex() in _key(offline, "Votes", (ALICE,))
