"""Everything that keys and the chain client raise on purpose, sorted by who must act.

    ChainError
    ├── KeystoreError           about keys on this machine
    │   ├── BadPhrase              not the words of a mnemonic, or not as many
    │   ├── BadName                no name for an account
    │   ├── AccountExists          the name is taken
    │   ├── UnknownAccount         no such name
    │   ├── WrongPassphrase        the file does not open with it
    │   ├── KeystoreMalformed      no keystore file, or a damaged one
    │   └── KeystoreUnusable       the file system says no
    ├── BadArgument             a value that no call can carry
    ├── NodeUnreachable         nobody answers, or the connection broke: nobody's guilt
    ├── NodeFault               the node answers what it must not: leave it
    │   ├── AnswerTooLarge
    │   ├── MalformedAnswer
    │   └── ChainChanged           another genesis than before
    ├── NodeRefused             a JSON-RPC error; `code` says which
    │   └── StatePruned            the node keeps no state of that block
    └── TransactionError        about one transaction
        ├── TransactionRefused     the pool does not take it
        │   └── CannotPayFee
        ├── TransactionTimeout     nothing is known in time: it may still get in
        ├── TransactionExpired     its mortality is over and no block holds it
        └── DispatchFailed         it is in a block and failed; fee and nonce are spent
            └── PalletError        with a name of the pallet: see `pallet_errors`

`str()` is one sentence with what to do; no message holds a key, a seed or a passphrase.
"""

from __future__ import annotations


class ChainError(Exception):
    """Root of the tree."""


class KeystoreError(ChainError):
    """About keys on this machine."""


class BadPhrase(KeystoreError):
    """Not the words of a mnemonic."""


class BadName(KeystoreError):
    """No name for an account."""


class AccountExists(KeystoreError):
    """The name is taken: files are never replaced."""


class UnknownAccount(KeystoreError):
    """No account of this name is in the keystore."""


class WrongPassphrase(KeystoreError):
    """The file does not open with this passphrase."""


class KeystoreMalformed(KeystoreError):
    """No keystore file, or a damaged one."""


class KeystoreUnusable(KeystoreError):
    """The file system refused."""


class BadArgument(ChainError):
    """A value that no call can carry."""


class NodeUnreachable(ChainError):
    """Nobody answers at the URL, or the connection broke."""


class NodeFault(ChainError):
    """The node answered what it must not."""


class AnswerTooLarge(NodeFault):
    """An answer beyond the limit of bytes or of time; the connection was closed."""


class MalformedAnswer(NodeFault):
    """An answer that does not decode as what was asked for."""


class ChainChanged(NodeFault):
    """The URL leads to a chain with another genesis than before."""


class NodeRefused(ChainError):
    """A JSON-RPC error with its code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class StatePruned(NodeRefused):
    """The node keeps no state of that block."""


class TransactionError(ChainError):
    """About one transaction."""


class TransactionRefused(TransactionError):
    """The pool does not take it; `code` is the JSON-RPC code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class CannotPayFee(TransactionRefused):
    """The account has too little for the fee."""


class TransactionTimeout(TransactionError):
    """No block held it in time. It may still get in: `extrinsic_hash` tells."""

    def __init__(self, message: str, extrinsic_hash: bytes) -> None:
        super().__init__(message)
        self.extrinsic_hash = extrinsic_hash


class TransactionExpired(TransactionError):
    """Its mortality is over and no block holds it: it never will be."""


class DispatchFailed(TransactionError):
    """It is in a block and failed: only its fee and its nonce are spent."""

    def __init__(self, pallet: str, name: str, docs: str) -> None:
        where = f"{pallet}.{name}" if pallet else name
        super().__init__(f"the chain refused the call: {docs.rstrip('.') or 'no reason given'} ({where})")
        self.pallet = pallet
        self.name = name
        self.docs = docs


class PalletError(DispatchFailed):
    """An error of pallet Peerz; each of its subclasses has the name that the pallet gives it."""
