"""One chain, told twice: every call is signed and sent to the chain, and entered into the model's books."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import nacl.signing

from tests.e2e.chain.model import COMPUTE, MODEL, POT, PRZ, TREASURY, VALIDATOR, Entry, Model, Row
from tests.e2e.chain.stock import Done, Stock

ENDOWED: Final = ["Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie"]
ENDOWMENT: Final = 1_000_000 * PRZ
EVIDENCE, SALT = bytes([7]) * 32, bytes([9]) * 32
CHAIN_LENGTH: Final = 64
STEPS: Final = ("Seal", "Subjects", "Validators", "Close", "Review", "Purge", "Freeze")
UNPAID: Final = ("commit", "reveal", "finalise")
"""What moves the network on costs nothing, when it succeeds."""
BINDING_S: Final = 24 * 3_600

PARAMETERS: Final[dict[str, int]] = {
    "commit_blocks": 5,
    "reveal_blocks": 3,
    "epoch_blocks": 14,
    "idle_steps": 0,
    "review_epochs": 3,
    "vote_reviews": 2,
    "min_vote": 10 * PRZ,
    "vote_unlock_epochs": 4,
    "voter_cap": 1_000,
    "vote_quorum": 2_000,
    "weight_step": 50_000,
    "assigned": 15,
    "assign_all_up_to": 16,
    "validator_cap": 1_000,
    "tolerance": 1_000,
    "bondless_start": 500,
    "bondless_step": 50,
    "bondless_max": 2_500,
    "bond_per_unit": PRZ // 10,
    "withheld_epochs": 1,
    "unbonding_epochs": 6,
    "dispute_epochs": 2,
    "slash_delay": 1,
    "jail_epochs": 24,
    "equivocation_slash": 2_000,
    "hidden_row_slash": 10,
    "reproduced_slash": 500,
    "reporter_share": 1_000,
    "incident_cap": 2_000,
    "day_cap": 3_000,
    "month_cap": 5_000,
    "day_epochs": 24,
    "breaker_floor": 3,
    "class_hold": 3,
    "subject_deposit": PRZ // 10,
    "model_deposit": 10 * PRZ,
    "key_deposit": PRZ // 10,
    "dispute_deposit": 10 * PRZ,
    "max_binding_seconds": 366 * 24 * 3_600,
    "emission": 10_000 * PRZ,
    "halving_epochs": 3,
    "max_supply": 18_000_000 * PRZ,
}
"""The pallet's defaults with short epochs and delays, an early halving, and bonds that can bind."""


Said = Row | list[tuple[int, Entry]]
"""A row as it should be, or any list of entries."""


def entries_of(said: Said) -> list[tuple[int, Entry]]:
    return sorted(said.items()) if isinstance(said, dict) else said


def link(value: bytes) -> bytes:
    """The element of a seed chain after `value`."""
    return hashlib.blake2b(b"peerz/link/v1" + value, digest_size=32).digest()


def as_hex(data: bytes) -> str:
    return "0x" + data.hex()


class Story:
    """`do` sends, `block` makes a block of what was sent and books it, `check` compares every account."""

    def __init__(self, stock: Stock, parameters: dict[str, int] = PARAMETERS) -> None:
        self.stock = stock
        self.model = Model(dict(parameters), ENDOWED, ENDOWMENT)
        self.index: dict[tuple[str, int], int] = {}
        self._expected: dict[str, tuple[Callable[[Done], object] | None, str | None]] = {}
        self._links: dict[str, list[bytes]] = {}

    # --- Calls and blocks -------------------------------------------------------------------------------------------

    def do(
        self,
        who: str,
        function: str,
        /,
        *,
        then: Callable[[Done], object] | None = None,
        refused: str | None = None,
        pallet: str = "Peerz",
        **params: Any,
    ) -> None:
        """Sends a call: `then` books its success, `refused` names the error with which it must fail."""
        self._expected[self.stock.send(who, function, pallet, **params)] = (then, refused)

    def govern(self, function: str, /, then: Callable[[Done], object] | None = None, **params: Any) -> None:
        """The same as root."""
        self._expected[self.stock.sudo("Alice", function, **params)] = (then, None)

    def set_parameters(self, **changed: int) -> None:
        parameters = self.model.parameters | changed
        self.govern("set_parameters", parameters=parameters, then=lambda _: self.model.parameters.update(changed))

    def block(self) -> list[Done]:
        """One block: all fees and successes go into the books, all refusals are those expected."""
        done = self.stock.seal()
        for one in done:
            then, refused = self._expected.pop(one.hash)
            assert one.error == refused, f"{one.who} {one.function}: {one.error}, expected {refused}"
            free_of_charge = one.function.startswith("sudo ") or (one.function in UNPAID and one.error is None)
            assert (one.fee == 0) == free_of_charge
            self.model.fee(one.who, one.fee)
            if then is not None:
                then(one)
        return done

    def check(self) -> None:
        """Every account of the chain has what the model says, no account is missing, and it adds up."""
        model = self.model
        names = {self.stock.address(name): name for name in {*model.free, *model.held} - {POT, TREASURY}}
        names |= {address: name for name, address in self.funds().items()}
        found = {names[address]: balance for address, balance in self.stock.balances().items()}
        expected = {name: (free, model.held[name]) for name, free in model.free.items()}
        assert found == expected, {
            name: tuple(a - b for a, b in zip(found.get(name, (0, 0)), expected.get(name, (0, 0)), strict=True))
            for name in {*found, *expected}
            if found.get(name) != expected.get(name)
        }
        issued = self.stock.pallet("TotalIssuance", pallet="Balances")
        assert issued == model.issuance == sum(free + held for free, held in found.values())
        assert self.stock.pallet("Obligations") == model.promised
        assert self.stock.pallet("RoleWeights") == model.weights
        assert self.stock.pallet("ScarcityOf", [COMPUTE]) == model.multipliers[COMPUTE]

    def funds(self) -> dict[str, str]:
        """Addresses of the pot and of the treasury."""
        encode = self.stock.api.ss58_encode
        accounts = {POT: b"modlpy/peerz", TREASURY: b"modlpy/peerztreasury"}
        return {name: encode(account.ljust(32, b"\0").hex()) for name, account in accounts.items()}

    # --- Time -------------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        return int(self.stock.pallet("CurrentEpoch")["index"])

    @property
    def phase(self) -> str:
        return str(self.stock.pallet("CurrentEpoch")["phase"])

    def to(self, phase: str) -> None:
        """Empty blocks until the phase begins."""
        for _ in range(PARAMETERS["epoch_blocks"] + 1):
            if self.phase == phase:
                return
            self.stock.seal_empty()
        raise AssertionError(f"{phase} does not come; it is {self.phase}")

    def finalise(self, by: str, rows: Mapping[str, Row], hidden: tuple[str, ...] = ()) -> None:
        """All steps, each a call that costs its sender nothing, and one more that is refused and does."""
        self.to("Finalise")
        for step in STEPS:
            self.do(by, "finalise", then=partial(self._is_free_step, step))
        self.block()
        self.model.finalise(self.epoch, dict(rows), hidden)
        self.do(by, "finalise", refused="WrongPhase")
        self.block()
        assert self.phase == "Open"

    @staticmethod
    def _is_free_step(step: str, done: Done) -> None:
        found = done.attribute("StepDone", "step")
        assert (done.fee, found if isinstance(found, str) else next(iter(found))) == (0, step)

    # --- What people do ---------------------------------------------------------------------------------------------

    def fund(self, who: str, amount: int) -> None:
        self.do(
            "Alice",
            "transfer_keep_alive",
            pallet="Balances",
            dest=self.stock.address(who),
            value=amount,
            then=lambda _: self.model.transfer("Alice", who, amount),
        )

    def bond(self, who: str, role: int, amount: int) -> None:
        self.do(who, "bond", role=role, amount=amount, then=lambda _: self.model.bond(who, role, amount))

    def node_key(self, who: str) -> nacl.signing.SigningKey:
        return nacl.signing.SigningKey(hashlib.blake2b(who.encode(), digest_size=32).digest())

    def binding(self, who: str, expiry: int, genesis: bytes | None = None, node: str | None = None) -> dict[str, Any]:
        """The arguments of a binding of `who` to the node key of `node`."""
        node_key = self.node_key(node or who)
        public = bytes(node_key.verify_key)
        body = bytes(self.stock.key(who).public_key) + public + expiry.to_bytes(8, "little")
        domain = b"peerz/node-binding"

        def payload(algorithm: int) -> bytes:
            head = bytes([len(domain)]) + domain + bytes([1, algorithm])
            return head + (genesis or self.stock.genesis) + body

        return {
            "node_key": as_hex(public),
            "expiry": expiry,
            "account_signature": as_hex(self.stock.key(who).sign(payload(2))),
            "node_signature": as_hex(bytes(node_key.sign(payload(1)).signature)),
        }

    def bind(self, who: str) -> None:
        binding = self.binding(who, self.stock.now_s + BINDING_S)
        self.do(who, "bind_node_key", **binding, then=lambda _: self.model.bind_key(who))

    def _registered(self, who: str, role: int, done: Done) -> None:
        index = done.attribute("SubjectRegistered", "index")
        self.index[who, role] = index
        self.model.register(who, role, index, self.epoch)

    def register_provider(self, who: str) -> None:
        self.do(who, "register_provider", then=lambda done: self._registered(who, COMPUTE, done))

    def register_validator(self, who: str) -> None:
        links = [hashlib.blake2b(b"chain of " + who.encode(), digest_size=32).digest()]
        for _ in range(CHAIN_LENGTH):
            links.append(link(links[-1]))
        tip = links.pop()
        self._links[who] = links
        self.do(
            who,
            "register_validator",
            seed_chain=as_hex(tip),
            then=lambda done: self._registered(who, VALIDATOR, done),
        )

    def register_model(self, who: str, root: bytes) -> None:
        shape = {"blocks": 30, "params_per_block": 3_540_000, "d_model": 576}
        self.do(
            who,
            "register_model",
            root=as_hex(root),
            shape=shape,
            then=lambda done: self._registered(who, MODEL, done),
        )

    def join(self, who: str, role: int) -> None:
        self.do(who, "join_role", role=role, then=lambda done: self._registered(who, role, done))

    def vote(self, who: str, shares: dict[int, int], amount: int) -> None:
        self.do(
            who,
            "vote",
            shares=(sorted(shares.items()),),
            amount=amount,
            evict=None,
            then=lambda _: self.model.vote(who, shares, amount),
        )

    def commitment(self, who: str, row: Said, work: int | None = None, genesis: bytes | None = None) -> str:
        """What commits `who` to a row about the epoch `work`: the one before the running one."""
        assert len(row) < 64, "a compact length of one byte"
        entries = b"".join(
            member.to_bytes(4, "little")
            + entry.units.to_bytes(8, "little")
            + entry.capacity.to_bytes(8, "little")
            + entry.faults.to_bytes(4, "little")
            for member, entry in entries_of(row)
        )
        work = self.epoch - 1 if work is None else work
        encoded = (
            b"peerz/att/v1"
            + (genesis or self.stock.genesis)
            + work.to_bytes(4, "little")
            + bytes(self.stock.key(who).public_key)
            + bytes([len(row) << 2])
            + entries
            + EVIDENCE
            + SALT
        )
        return as_hex(hashlib.blake2b(encoded, digest_size=32).digest())

    def commit(self, who: str, row: Said) -> None:
        self.do(who, "commit", commitment=self.commitment(who, row))

    def reveal(self, who: str, row: Said, *, refused: str | None = None, **changed: Any) -> None:
        """Reveals a row; `changed` replaces arguments."""
        entries = [{"member": member, **entry._asdict()} for member, entry in entries_of(row)]
        shown = {
            "row": (entries,),
            "evidence_root": as_hex(EVIDENCE),
            "salt": as_hex(SALT),
            "link": as_hex(self._links[who][-1]),
        }
        then = None if refused else lambda _: self._links[who].pop()
        self.do(who, "reveal", **{**shown, **changed}, refused=refused, then=then)

    def attest(self, rows: Mapping[str, Row], hidden: Mapping[str, Row] | None = None) -> None:
        """Everybody commits, and all but `hidden` reveal."""
        self.to("Commit")
        for who, row in {**rows, **(hidden or {})}.items():
            self.commit(who, row)
        self.block()
        self.to("Reveal")
        for who, row in rows.items():
            self.reveal(who, row)
        self.block()

    def claim(self, who: str, work: int, role: int, *, refused: str | None = None) -> None:
        """Claims; what is paid is what the model expects."""
        index = self.index[who, role]
        self.do(
            who,
            "claim",
            epoch=work,
            index=index,
            refused=refused,
            then=None if refused else lambda done: self._is_paid(done, who, work, index),
        )

    def _is_paid(self, done: Done, who: str, work: int, index: int) -> None:
        amount = self.model.claim(who, work, index)
        assert (done.attribute("Claimed", "amount"), done.error) == (amount, None)
