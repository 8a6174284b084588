"""Stock substrate-interface as the hand that signs, sends and seals: nothing of ours is between it and the chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from substrateinterface import Keypair, SubstrateInterface  # type: ignore[import-untyped]

Event = dict[str, Any]
"""`module_id`, `event_id` and `attributes` of one event."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an extrinsic. `fee` in the smallest unit; `error` is the name of the refusal, None for success."""

    hash: str
    who: str
    function: str
    fee: int
    error: str | None
    events: tuple[Event, ...]

    def attribute(self, event_id: str, name: str) -> Any:
        """One attribute of the only event of that name."""
        (found,) = [event for event in self.events if event["event_id"] == event_id]
        return found["attributes"][name]


class Stock:
    """Signs by name: "Alice" is the development key //Alice. Blocks are made by `seal` alone."""

    def __init__(self, url: str) -> None:
        self.api = SubstrateInterface(url=url)
        self.genesis = bytes.fromhex(self.api.get_block_hash(0).removeprefix("0x"))
        self._keys: dict[str, Keypair] = {}
        self._nonces: dict[str, int] = {}
        self._waiting: dict[str, tuple[str, str]] = {}

    def close(self) -> None:
        self.api.close()

    def key(self, name: str) -> Keypair:
        """The key of a name."""
        return self._keys.setdefault(name, Keypair.create_from_uri(f"//{name}"))

    def address(self, name: str) -> str:
        return str(self.key(name).ss58_address)

    def send(self, who: str, function: str, /, pallet: str = "Peerz", **params: Any) -> str:
        """Puts a signed call into the pool; `seal` tells what became of it. Returns the hash of the extrinsic."""
        return self._submit(who, function, self.api.compose_call(pallet, function, params))

    def sudo(self, who: str, function: str, /, pallet: str = "Peerz", **params: Any) -> str:
        """The same, with the call as root."""
        inner = self.api.compose_call(pallet, function, params)
        return self._submit(who, f"sudo {function}", self.api.compose_call("Sudo", "sudo", {"call": inner}))

    def _submit(self, who: str, function: str, call: Any) -> str:
        nonce = self._nonces.get(who, 0)
        signed = self.api.create_signed_extrinsic(call, self.key(who), nonce=nonce)
        receipt = self.api.submit_extrinsic(signed)
        self._nonces[who] = nonce + 1
        self._waiting[receipt.extrinsic_hash] = (who, function)
        return str(receipt.extrinsic_hash)

    def seal_empty(self, blocks: int = 1) -> str:
        """Makes blocks without looking at their events; the hash of the last one."""
        made = ""
        for _ in range(blocks):
            made = self.api.rpc_request("engine_createBlock", [True, True, None])["result"]["hash"]
        return made

    def seal(self) -> list[Done]:
        """Makes one block of all that waits: what became of it, in the order of the block."""
        block_hash = self.seal_empty()
        events = [event.value for event in self.api.get_events(block_hash)]
        done = []
        for position, extrinsic in enumerate(self.api.get_block(block_hash)["extrinsics"]):
            found = str(extrinsic.value.get("extrinsic_hash"))
            if found in self._waiting:
                who, function = self._waiting.pop(found)
                mine = [event for event in events if event["extrinsic_idx"] == position]
                done.append(self._outcome(found, who, function, mine))
        assert not self._waiting, "a block leaves nothing behind"
        return done

    def _outcome(self, extrinsic_hash: str, who: str, function: str, events: Sequence[Event]) -> Done:
        fee, error = 0, None
        for event in events:
            name, attributes = event["event_id"], event["attributes"]
            if name == "TransactionFeePaid":
                assert attributes["who"] == self.address(who)
                fee += attributes["actual_fee"]
            elif name == "ExtrinsicFailed":
                error = self._error_name(attributes["dispatch_error"])
            elif name == "Sudid" and "Err" in attributes["sudo_result"]:
                error = self._error_name(attributes["sudo_result"]["Err"])
        return Done(extrinsic_hash, who, function, fee, error, tuple(events))

    def _error_name(self, error: Any) -> str:
        if isinstance(error, dict) and "Module" in error:
            module, code = error["Module"]["index"], error["Module"]["error"]
            found = self.api.metadata.get_module_error(module, bytes.fromhex(code.removeprefix("0x"))[0])
            return str(found.name)
        return str(next(iter(error.values())) if isinstance(error, dict) else error)

    def pallet(self, item: str, params: Iterable[Any] = (), pallet: str = "Peerz") -> Any:
        """A value in storage."""
        return self.api.query(pallet, item, list(params)).value

    @property
    def now_s(self) -> int:
        """The time of the chain, in seconds since 1970."""
        return int(self.pallet("Now", pallet="Timestamp")) // 1000

    def balances(self) -> dict[str, tuple[int, int]]:
        """What is free and what is held, of every account there is, by address."""
        accounts = self.api.query_map("System", "Account", page_size=200)
        return {
            account.value: (found.value["data"]["free"], found.value["data"]["reserved"]) for account, found in accounts
        }
