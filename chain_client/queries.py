"""What can be asked of a chain: one method per stored item of the pallet and per question of its runtime API.

`at` is the hash of the block whose state is asked; None means the best block of that moment. Several answers that must
agree with each other are asked at one block: see `Queries.at_one_block`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from substrateinterface import SubstrateInterface  # type: ignore[import-untyped]

from chain_client.connection import Connection
from chain_client.decoding import decode, encode
from chain_client.errors import MalformedAnswer
from chain_client.parameters import Parameters
from chain_client.types import (
    AccountId,
    Attestation,
    Bond,
    Books,
    Breaker,
    Dispute,
    Earning,
    Entry,
    Epoch,
    FrozenValidator,
    Funds,
    KeyRecord,
    Model,
    PendingReward,
    PendingSlash,
    Plant,
    Pool,
    ReviewRecord,
    Role,
    RoleView,
    SeedChain,
    Slashed,
    Step,
    Subject,
    Vote,
    WorkRoot,
)

T = TypeVar("T")
K = TypeVar("K")

_PALLET = "Peerz"
_PAGE = 256
MAP_ENTRIES_MAX = 20_000
"""More entries than any map of the pallet may have that is read as a whole."""


class Queries:
    """See the module. Every method raises ChainError's."""

    def __init__(self, connection: Connection, at: bytes | None = None) -> None:
        self._connection = connection
        self._at = None if at is None else "0x" + at.hex()

    async def at_one_block(self) -> Queries:
        """The same questions about the best block as it is now."""
        return Queries(self._connection, await self.head())

    # --- The chain itself

    async def genesis(self) -> bytes:
        """The hash of block 0, which names the chain."""
        return decode(bytes, await self._rpc("chain_getBlockHash", 0))

    async def head(self) -> bytes:
        """The hash of the best block."""
        return decode(bytes, await self._rpc("chain_getBlockHash"))

    async def finalised(self) -> bytes:
        """The hash of the last final block."""
        return decode(bytes, await self._rpc("chain_getFinalizedHead"))

    async def block_hash(self, number: int) -> bytes | None:
        """The hash of a block by its number."""
        return _optional(bytes, await self._rpc("chain_getBlockHash", number))

    async def block_number(self, block: bytes) -> int:
        """The number of a block by its hash."""
        header = await self._rpc("chain_getHeader", encode(block))
        try:
            return int(header["number"], 16)
        except (TypeError, KeyError, ValueError):
            raise MalformedAnswer("the node does not know a block that it has named itself") from None

    async def funds(self, account: AccountId) -> Funds:
        """The balance of an account; zeros for one that does not exist."""
        found = await self._raw("Account", account, pallet="System")
        try:
            data = {name: found["data"][name] for name in ("free", "reserved", "frozen")}
        except (TypeError, KeyError):
            raise MalformedAnswer("the node's answer is no account; is it a Peerz chain?") from None
        return decode(Funds, data)

    async def issuance(self) -> int:
        """All PRZ there are."""
        return decode(int, await self._raw("TotalIssuance", pallet="Balances"))

    async def now_ms(self) -> int:
        """The chain's clock, in milliseconds since 1970."""
        return decode(int, await self._raw("Now", pallet="Timestamp"))

    async def constant(self, name: str) -> int:
        """A constant of the pallet: MaxSubjects, MaxValidators, MaxVoters or HistoryDepth."""

        def ask(interface: SubstrateInterface) -> Any:
            found = interface.get_constant(_PALLET, name, self._at)
            return None if found is None else found.value

        return decode(int, await self._connection.run(ask))

    # --- Questions that need the pallet's arithmetic

    async def epoch(self) -> tuple[Epoch, int]:
        """The clock, and the epoch in which the next review of the weights is due."""
        epoch, review = _pair(await self._api("epoch"))
        return decode(Epoch, epoch), decode(int, review)

    async def role_views(self) -> tuple[RoleView, ...]:
        """All roles with their weights and scarcity."""
        return _all(RoleView, await self._api("role_weights"))

    async def subjects_of(self, account: AccountId) -> tuple[int, ...]:
        """The slots of an account's subjects."""
        return _all(int, await self._api("subjects_of", account))

    async def pending_rewards(self, account: AccountId) -> tuple[PendingReward, ...]:
        """What an account's subjects earned in final epochs and has not been claimed."""
        return _all(PendingReward, await self._api("pending_rewards", account))

    async def assignment(self, epoch: int, subject: int) -> tuple[AccountId, ...]:
        """Who attests a subject's work of an epoch; empty before its seed is fixed."""
        return tuple(_account(item) for item in _list(await self._api("assignment", epoch, subject)))

    async def attested_by(self, epoch: int, validator: AccountId) -> tuple[int, ...]:
        """The subjects that a validator attests in an epoch."""
        return _all(int, await self._api("attested_by", epoch, validator))

    async def bond(self, account: AccountId, role: int) -> tuple[int, int]:
        """An account's bond in a role: what counts, and what is on its way out."""
        active, leaving = _pair(await self._api("bond", account, role))
        return decode(int, active), decode(int, leaving)

    # --- Governance, roles, votes

    async def parameters(self) -> Parameters:
        return decode(Parameters, await self._raw("Params"))

    async def paused_since(self) -> int | None:
        """The block of the pause, while there is one."""
        return _optional(int, await self._raw("PausedSince"))

    async def role(self, role: int) -> Role | None:
        return _optional(Role, await self._raw("Roles", role))

    async def roles(self) -> dict[int, Role]:
        return await self._map("Roles", int, Role)

    async def next_role(self) -> int:
        return decode(int, await self._raw("NextRole"))

    async def role_weights(self) -> tuple[int, ...]:
        """The weights in force before scarcity, in parts per million, by role."""
        return _all(int, await self._raw("RoleWeights"))

    async def scarcity(self, role: int) -> int:
        """What a role's weight is multiplied by, in parts per million."""
        return decode(int, await self._raw("ScarcityOf", role))

    async def vote(self, account: AccountId) -> Vote | None:
        return _optional(Vote, await self._raw("Votes", account))

    async def votes(self) -> dict[AccountId, Vote]:
        return await self._map("Votes", _account, Vote)

    async def vote_count(self) -> int:
        return decode(int, await self._raw("CounterForVotes"))

    async def vote_locked(self) -> int:
        """The sum of all locks, of votes that count and of others."""
        return decode(int, await self._raw("VoteLocked"))

    async def review_number(self) -> int:
        """The number of the next review."""
        return decode(int, await self._raw("ReviewNumber"))

    async def next_review(self) -> int:
        """The epoch in which it is due."""
        return decode(int, await self._raw("NextReview"))

    async def reviews(self) -> dict[int, ReviewRecord]:
        """The last reviews by number, in order."""
        return dict(sorted((await self._map("Reviews", int, ReviewRecord)).items()))

    # --- Registry and bonds

    async def subject(self, index: int) -> Subject | None:
        return _optional(Subject, await self._raw("Subjects", index))

    async def subjects(self) -> dict[int, Subject]:
        return dict(sorted((await self._map("Subjects", int, Subject)).items()))

    async def subject_count(self) -> int:
        return decode(int, await self._raw("SubjectCount"))

    async def next_slot(self) -> int:
        return decode(int, await self._raw("NextSlot"))

    async def free_slots(self) -> tuple[int, ...]:
        """Slots that are free again, the next one to be used last."""
        found = await self._map("FreeSlots", int, int)
        return tuple(slot for _, slot in sorted(found.items()))

    async def free_slot_count(self) -> int:
        return decode(int, await self._raw("FreeSlotCount"))

    async def generation(self, index: int) -> int:
        """How many subjects have left a slot."""
        return decode(int, await self._raw("Generations", index))

    async def slot_of(self, account: AccountId, role: int) -> int | None:
        """The slot of an account in a role that is not for models."""
        return _optional(int, await self._raw("SlotOf", account, role))

    async def model(self, root: bytes) -> Model | None:
        return _optional(Model, await self._raw("Models", root))

    async def models_of(self, account: AccountId) -> tuple[bytes, ...]:
        """The roots of an owner's models."""
        return _all(bytes, await self._raw("ModelsOf", account))

    async def validator_slots(self) -> tuple[int, ...]:
        return _all(int, await self._raw("ValidatorSlots"))

    async def seed_chain(self, index: int) -> SeedChain | None:
        return _optional(SeedChain, await self._raw("SeedChains", index))

    async def bond_record(self, account: AccountId, role: int) -> Bond:
        return decode(Bond, await self._raw("Bonds", account, role))

    async def accusations(self, account: AccountId) -> int:
        """Open disputes and pending slashes against an account: while there are any, its bonds stay."""
        return decode(int, await self._raw("Accusations", account))

    async def key_record(self, node_key: bytes) -> KeyRecord | None:
        return _optional(KeyRecord, await self._raw("NodeKeys", node_key))

    async def node_key_of(self, account: AccountId) -> bytes | None:
        return _optional(bytes, await self._raw("NodeKeyOf", account))

    # --- Epochs

    async def current_epoch(self) -> Epoch:
        return decode(Epoch, await self._raw("CurrentEpoch"))

    async def next_step(self) -> Step:
        """The next step of finalising."""
        return decode(Step, await self._raw("NextStep"))

    async def books(self) -> Books:
        """The books of the epoch that is being finalised."""
        return decode(Books, await self._raw("CurrentBooks"))

    async def seed(self, epoch: int) -> bytes | None:
        return _optional(bytes, await self._raw("Seeds", epoch))

    async def epoch_validators(self, epoch: int) -> tuple[FrozenValidator, ...]:
        return _all(FrozenValidator, await self._raw("EpochValidators", epoch))

    async def attestation(self, epoch: int, slot: int) -> Attestation | None:
        """What the validator in a slot of the frozen set did about an epoch."""
        return _optional(Attestation, await self._raw("Attestations", epoch, slot))

    async def row_page(self, epoch: int, page: int, slot: int) -> tuple[Entry, ...] | None:
        """The part of a revealed row that waits to be aggregated."""
        found = await self._raw("RowPages", epoch, page, slot)
        return None if found is None else _all(Entry, found)

    async def work_root(self, epoch: int, index: int) -> WorkRoot | None:
        return _optional(WorkRoot, await self._raw("WorkRoots", epoch, index))

    async def plants(self, epoch: int) -> tuple[Plant, ...]:
        return _all(Plant, await self._raw("Plants", epoch))

    # --- Rewards

    async def earning(self, epoch: int, index: int) -> Earning | None:
        return _optional(Earning, await self._raw("Earnings", epoch, index))

    async def pool(self, epoch: int, role: int) -> Pool | None:
        return _optional(Pool, await self._raw("Pools", epoch, role))

    async def carried(self, role: int) -> int:
        """Rewards of epochs in which nobody earned in the role."""
        return decode(int, await self._raw("Carried", role))

    async def obligations(self) -> int:
        """What of the pot is promised."""
        return decode(int, await self._raw("Obligations"))

    # --- Disputes

    async def pending_slash(self, slash: int) -> PendingSlash | None:
        return _optional(PendingSlash, await self._raw("PendingSlashes", slash))

    async def pending_slashes(self) -> dict[int, PendingSlash]:
        return dict(sorted((await self._map("PendingSlashes", int, PendingSlash)).items()))

    async def next_slash(self) -> int:
        return decode(int, await self._raw("NextSlash"))

    async def slashed(self, account: AccountId, role: int) -> Slashed:
        return decode(Slashed, await self._raw("SlashedOf", account, role))

    async def slash_rate(self) -> Breaker:
        return decode(Breaker, await self._raw("SlashRate"))

    async def dispute(self, index: int) -> Dispute | None:
        return _optional(Dispute, await self._raw("Disputes", index))

    async def class_faults(self, epoch: int, kernel_class: bytes) -> int:
        """Reproduced failures of a kernel class in an epoch."""
        return decode(int, await self._raw("ClassFaults", epoch, kernel_class))

    # --- How it is asked

    async def _rpc(self, method: str, *params: Any) -> Any:
        return await self._connection.run(lambda interface: interface.rpc_request(method, list(params))["result"])

    async def _raw(self, item: str, *keys: Any, pallet: str = _PALLET) -> Any:
        params = [encode(key) for key in keys]
        return await self._connection.run(lambda interface: interface.query(pallet, item, params, self._at).value)

    async def _map(self, item: str, key: Callable[[Any], K], kind: type[T]) -> dict[K, T]:
        def ask(interface: SubstrateInterface) -> list[tuple[Any, Any]]:
            found = interface.query_map(
                _PALLET, item, block_hash=self._at, page_size=_PAGE, max_results=MAP_ENTRIES_MAX + 1
            )
            return [(k.value, v.value) for k, v in found]

        entries = await self._connection.run(ask)
        if len(entries) > MAP_ENTRIES_MAX:
            raise MalformedAnswer(f"the node lists more than {MAP_ENTRIES_MAX} {item}; is it a Peerz chain?")
        return {key(k): decode(kind, v) for k, v in entries}

    async def _api(self, method: str, *arguments: Any) -> Any:
        params = [encode(argument) for argument in arguments]
        return await self._connection.run(
            lambda interface: interface.runtime_call("PeerzApi", method, params, self._at).value
        )


def _optional(kind: type[T], raw: Any) -> T | None:
    return None if raw is None else decode(kind, raw)


def _list(raw: Any) -> list[Any]:
    if not isinstance(raw, list | tuple):
        raise MalformedAnswer(f"the node answered {str(raw)[:80]!r} where a list belongs; is it another chain?")
    return list(raw)


def _pair(raw: Any) -> tuple[Any, Any]:
    first, second = pair if len(pair := _list(raw)) == 2 else (None, None)
    return first, second


def _all(kind: type[T], raw: Any) -> tuple[T, ...]:
    return tuple(decode(kind, item) for item in _list(raw))


def _account(raw: Any) -> AccountId:
    value: AccountId = decode(AccountId, raw)
    return value
