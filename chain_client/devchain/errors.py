"""Everything that the embedded chain raises on purpose.

    DevchainError
    ├── ScaleError               bytes that do not decode
    ├── RuntimeFailure           a call into the runtime gave no answer
    │   ├── RuntimeTrapped          it panicked or executed an illegal instruction
    │   ├── RuntimeExhausted        it used up its instructions, its host work or its memory
    │   ├── UnknownRuntimeCall      the runtime exports no such method
    │   ├── BadRuntime              the code is no runtime: undecodable, too large, asks for what no host has
    │   └── HostCallError           it called the host with arguments that no runtime may use
    ├── BlockError               a block that could not be built or does not hold
    ├── StateUnavailable         no block with this hash, or its state is pruned
    ├── StoreError               the database is damaged, locked or another chain's
    └── PoolError                the pool refuses a transaction; `code` is Substrate's JSON-RPC code
        ├── BadFormat               1001  no extrinsic at all
        ├── VerificationFailed      1002  the runtime broke down over it
        ├── InvalidTransaction      1010  it cannot be valid now
        ├── UnknownTransaction      1011  nobody can say whether it is valid
        ├── TemporarilyBanned       1012  it failed a short time ago
        ├── AlreadyImported         1013  it is in the pool
        ├── TooLowPriority          1014  another one with the same tag pays as much
        ├── CycleDetected           1015  it depends on a transaction that it would replace
        └── ImmediatelyDropped      1016  the pool is full of better ones

`str()` is one sentence; it never holds a key or a whole transaction.
"""

from __future__ import annotations

from typing import ClassVar


class DevchainError(Exception):
    """Root of the tree."""


class ScaleError(DevchainError):
    """Bytes that do not decode as what they should be."""


class RuntimeFailure(DevchainError):
    """A call into the runtime gave no answer. The overlay is as it was before the call."""


class RuntimeTrapped(RuntimeFailure):
    """The runtime panicked or executed an illegal instruction."""


class RuntimeExhausted(RuntimeFailure):
    """The call used up its instructions, its host work or its memory."""


class UnknownRuntimeCall(RuntimeFailure):
    """The runtime exports no such method."""


class BadRuntime(RuntimeFailure):
    """The code is no runtime: undecodable, too large, or it asks for what no host has."""


class HostCallError(RuntimeFailure):
    """The runtime called the host with arguments that no runtime may use."""


class BlockError(DevchainError):
    """A block that could not be built or does not hold."""


class StateUnavailable(DevchainError):
    """No block with this hash, or its state is pruned."""


class StoreError(DevchainError):
    """The database is damaged, locked or another chain's."""


class PoolError(DevchainError):
    """The pool refuses a transaction. `code` is the JSON-RPC code of polkadot-sdk, `data` its short detail."""

    code: ClassVar[int] = 1010
    title: ClassVar[str] = "Invalid Transaction"

    def __init__(self, data: str) -> None:
        super().__init__(f"{self.title}: {data}")
        self.data = data


class BadFormat(PoolError):
    """No extrinsic at all."""

    code = 1001
    title = "Extrinsic has invalid format"


class VerificationFailed(PoolError):
    """The runtime broke down over it."""

    code = 1002
    title = "Verification Error"


class InvalidTransaction(PoolError):
    """It cannot be valid now: bad proof, stale nonce, no funds for the fee. `kind` numbers `InvalidTransaction`."""

    def __init__(self, data: str, kind: int | None = None) -> None:
        super().__init__(data)
        self.kind = kind


class UnknownTransaction(PoolError):
    """Nobody can say whether it is valid."""

    code = 1011
    title = "Unknown Transaction Validity"


class TemporarilyBanned(PoolError):
    """It failed a short time ago."""

    code = 1012
    title = "Transaction is temporarily banned"


class AlreadyImported(PoolError):
    """It is in the pool."""

    code = 1013
    title = "Transaction Already Imported"


class TooLowPriority(PoolError):
    """Another transaction with the same tag has the same or a higher priority."""

    code = 1014
    title = "Priority is too low"


class CycleDetected(PoolError):
    """It depends on a transaction that it would replace."""

    code = 1015
    title = "Cycle Detected"


class ImmediatelyDropped(PoolError):
    """The pool is full of better ones."""

    code = 1016
    title = "Immediately Dropped"
