"""Extrinsics on their way: composed, signed, sent once, and found again in a block.

Nonces: one lock per account, and the node's own count with its pool in it, so that several submits at once get one
each. A lost connection while sending leaves the outcome open; the same bytes are then sent again, never others with
another nonce, so that a call is never made twice.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import Any, Final

from substrateinterface import SubstrateInterface  # type: ignore[import-untyped]

from chain_client.account import AccountSigner, address_of
from chain_client.blocks import block_events, final_number, hash_at, head_number, position_in
from chain_client.calls import Call
from chain_client.connection import Connection
from chain_client.decoding import decode, encode
from chain_client.errors import (
    BadArgument,
    CannotPayFee,
    NodeRefused,
    NodeUnreachable,
    TransactionExpired,
    TransactionRefused,
    TransactionTimeout,
)
from chain_client.events import ChainEvent, failure_of, fee_paid
from chain_client.types import AccountId

MORTALITY_BLOCKS: Final = 64
"""A transaction that no block holds after so many can never come back."""
_BLOCKS_PER_SCAN = 32
_NONCE_ATTEMPTS = 5
_SEND_ATTEMPTS = 4
_SR25519 = 1
_INVALID, _BANNED, _IMPORTED, _LOW_PRIORITY = 1010, 1012, 1013, 1014
_STALE_WORDS = ("outdated", "used already")
_FEE_WORDS = ("pay some fees", "pay the fee")


class Until(Enum):
    """How long a submit waits."""

    IN_BLOCK = "in a block"
    FINAL = "in a final block"


@dataclass(frozen=True, slots=True)
class Sent:
    """An extrinsic that the pool has taken. It can be in block `first_block` at the earliest."""

    extrinsic_hash: bytes
    nonce: int
    first_block: int
    valid_until: int


@dataclass(frozen=True, slots=True)
class Included:
    """An extrinsic that succeeded, with what it did. `fee` in the smallest unit."""

    extrinsic_hash: bytes
    block_number: int
    block_hash: bytes
    extrinsic: int
    fee: int
    events: tuple[ChainEvent, ...]


@dataclass(frozen=True, slots=True)
class _Signed:
    data: bytes
    sent: Sent


@dataclass(frozen=True, slots=True)
class _Found:
    number: int
    block_hash: str
    extrinsic: int


class Transactions:
    """See the module. `poll_s` is the time between two looks at the chain while something is awaited."""

    def __init__(self, connection: Connection, poll_s: float) -> None:
        self._connection = connection
        self._poll_s = poll_s
        self._locks: defaultdict[AccountId, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def fee(self, call: Call, account: AccountId) -> int:
        """What `call` would cost the account at most, in the smallest unit."""

        def ask(interface: SubstrateInterface) -> Any:
            body, nonce, era = _prepared(interface, call, account)
            extrinsic = interface.create_signed_extrinsic(
                body, _Keypair(account, None), era=era, nonce=nonce, signature="0x" + bytes(64).hex()
            )
            return interface.rpc_request("payment_queryInfo", [str(extrinsic.data)])["result"]["partialFee"]

        found = await self._connection.run(ask)
        return decode(int, int(found) if isinstance(found, str) and found.isdecimal() else found)

    async def send(self, call: Call, signer: AccountSigner) -> Sent:
        """Signs `call` and hands it to the node's pool. Raises TransactionRefused and other ChainErrors."""
        async with self._locks[signer.account]:
            for attempt in range(1, _NONCE_ATTEMPTS + 1):
                signed = await self._connection.run(lambda interface: _signed(interface, call, signer))
                try:
                    await self._send(signed)
                except TransactionRefused as error:
                    # Another program used the nonce in between: this extrinsic is dead, so a new one is no second call.
                    taken = error.code == _LOW_PRIORITY or (error.code == _INVALID and _is_about(error, _STALE_WORDS))
                    if not taken or attempt == _NONCE_ATTEMPTS:
                        raise
                else:
                    return signed.sent
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _send(self, signed: _Signed) -> None:
        text = "0x" + signed.data.hex()
        for attempt in range(1, _SEND_ATTEMPTS + 1):
            try:
                await self._connection.run(
                    lambda interface: interface.rpc_request("author_submitExtrinsic", [text]), repeat=False
                )
                return
            except NodeUnreachable:
                if attempt == _SEND_ATTEMPTS:
                    raise
                await asyncio.sleep(self._poll_s * attempt)
            except NodeRefused as error:
                # After a lost connection these say that the first sending arrived: a block or the time-out will tell.
                arrived = (_IMPORTED, _INVALID, _BANNED) if attempt > 1 else (_IMPORTED,)
                if error.code in arrived:
                    return
                raise _refused(error) from None

    async def wait(self, sent: Sent, until: Until, timeout_s: float) -> Included:
        """Waits for the extrinsic. Raises DispatchFailed, TransactionTimeout, TransactionExpired."""
        try:
            async with asyncio.timeout(timeout_s):
                found = await self._find(sent, until)
        except TimeoutError:
            raise TransactionTimeout(
                f"the transaction 0x{sent.extrinsic_hash.hex()} was not {until.value} within {timeout_s:g} s; "
                f"it may still get in, up to block {sent.valid_until}: look before you try again",
                sent.extrinsic_hash,
            ) from None
        return await self._connection.run(lambda interface: _outcome(interface, sent, found))

    async def _find(self, sent: Sent, until: Until) -> _Found:
        scan = Scan(sent)
        while True:
            found = await self._connection.run(scan.step)
            if found is not None and (until is Until.IN_BLOCK or await self._connection.run(scan.is_final)):
                return found
            if scan.is_over and await self._connection.run(scan.is_expired):
                raise TransactionExpired(
                    f"no block up to {sent.valid_until} holds the transaction, so none ever will; submit it again"
                )
            if found is not None or scan.is_level:
                await asyncio.sleep(self._poll_s)


class Scan:
    """Looks for an extrinsic block by block, and again from the beginning when the chain turns out to have forked."""

    def __init__(self, sent: Sent) -> None:
        self._sent = sent
        self._next = sent.first_block
        self._last: tuple[int, str] | None = None
        self._found: _Found | None = None
        self.is_level = False
        """Whether the last step saw the best block."""

    @property
    def is_over(self) -> bool:
        """Whether every block has been seen that could hold it."""
        return self._found is None and self._next > self._sent.valid_until

    def step(self, interface: SubstrateInterface) -> _Found | None:
        """Looks at some blocks more. Runs in the worker thread."""
        if self._last is not None and hash_at(interface, self._last[0]) != self._last[1]:
            self._next, self._last, self._found = self._sent.first_block, None, None
        if self._found is not None:
            return self._found
        head = min(head_number(interface), self._sent.valid_until)
        end = min(head + 1, self._next + _BLOCKS_PER_SCAN)
        for number in range(self._next, end):
            block_hash = hash_at(interface, number)
            if block_hash is None:
                break
            self._next, self._last = number + 1, (number, block_hash)
            extrinsic = position_in(interface, block_hash, self._sent.extrinsic_hash)
            if extrinsic is not None:
                self._found = _Found(number, block_hash, extrinsic)
                return self._found
        self.is_level = self._next > head
        return None

    def is_final(self, interface: SubstrateInterface) -> bool:
        """Whether the block that was found is final."""
        return (
            self._found is not None
            and final_number(interface) >= self._found.number
            and hash_at(interface, self._found.number) == self._found.block_hash
        )

    def is_expired(self, interface: SubstrateInterface) -> bool:
        """Whether the blocks that could hold it are final."""
        return final_number(interface) >= self._sent.valid_until


def composed(interface: SubstrateInterface, call: Call) -> Any:
    """The call as the library has it. Raises BadArgument when the chain has no such call or a value does not fit."""
    try:
        arguments = {
            name: composed(interface, value) if isinstance(value, Call) else encode(value)
            for name, value in call.args.items()
        }
        return interface.compose_call(call.pallet, call.function, arguments)
    except (ValueError, TypeError, NotImplementedError, LookupError) as error:
        raise BadArgument(f"{call.pallet}.{call.function} does not take these values: {str(error)[:200]}") from None


def _prepared(interface: SubstrateInterface, call: Call, account: AccountId) -> tuple[Any, int, dict[str, int]]:
    """The call, the account's next nonce, and the mortality from the last final block on."""
    interface.init_runtime()
    body = composed(interface, call)
    nonce = decode(int, interface.rpc_request("system_accountNextIndex", [address_of(account)])["result"])
    return body, nonce, {"period": MORTALITY_BLOCKS, "current": final_number(interface)}


def _signed(interface: SubstrateInterface, call: Call, signer: AccountSigner) -> _Signed:
    body, nonce, era = _prepared(interface, call, signer.account)
    now = era["current"]
    extrinsic = interface.create_signed_extrinsic(body, _Keypair(signer.account, signer), era=era, nonce=nonce)
    data = bytes(extrinsic.data.data)
    extrinsic_hash = blake2b(data, digest_size=32).digest()
    return _Signed(data, Sent(extrinsic_hash, nonce, now + 1, now + MORTALITY_BLOCKS))


class _Keypair:
    """A signer in the shape that the library wants."""

    crypto_type = _SR25519

    def __init__(self, account: AccountId, signer: AccountSigner | None) -> None:
        self.public_key = bytes(account)
        self._signer = signer

    def sign(self, payload: Any) -> bytes:
        assert self._signer is not None, "a fee is asked for without signing"
        return self._signer.sign(bytes(payload.data))


def _outcome(interface: SubstrateInterface, sent: Sent, found: _Found) -> Included:
    events = tuple(
        event for event in block_events(interface, found.number, found.block_hash) if event.extrinsic == found.extrinsic
    )

    def module_error(pallet: Any, error: int) -> tuple[str, str, str]:
        entry = interface.metadata.get_module_error(module_index=pallet, error_index=error)
        name = next(p.value["name"] for p in interface.metadata.pallets if p.value["index"] == pallet)
        return name, entry.name, " ".join(" ".join(entry.docs).split())

    failure = failure_of(events, module_error)
    if failure is not None:
        raise failure
    block_hash = decode(bytes, found.block_hash)
    return Included(sent.extrinsic_hash, found.number, block_hash, found.extrinsic, fee_paid(events), events)


def _refused(error: NodeRefused) -> TransactionRefused:
    if _is_about(error, _FEE_WORDS):
        return CannotPayFee("the account has too little free for the fee; send it some PRZ first", error.code)
    return TransactionRefused(f"the transaction was not taken: {error}", error.code)


def _is_about(error: Exception, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)
