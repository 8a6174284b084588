"""Errors of the chain's client as the command line tells them: one sentence with what to do, and an exit code."""

from __future__ import annotations

from chain_client.errors import (
    BadArgument,
    ChainError,
    DispatchFailed,
    KeystoreError,
    NodeFault,
    NodeRefused,
    NodeUnreachable,
    TransactionError,
    TransactionTimeout,
)
from compute.errors import CallerError, ComputeError
from peerz_node.wallet.hints import HINTS

_EXIT_CODES: tuple[tuple[type[ChainError], int], ...] = (
    (KeystoreError, 3),
    (BadArgument, 2),
    (NodeUnreachable, 4),
    (TransactionTimeout, 4),
    (NodeFault, 6),
    (TransactionError, 5),
    (NodeRefused, 5),
)


class WalletError(CallerError):
    """What was asked for cannot be done as it was asked for."""


class ChainTrouble(ComputeError):
    """An error of the chain's client. `exit_code` as docs/cli.md lists them."""

    def __init__(self, error: ChainError) -> None:
        hint = HINTS.get(error.name) if isinstance(error, DispatchFailed) else None
        super().__init__(f"{error}; {hint}" if hint else str(error))
        self.exit_code = next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)  # type: ignore[misc]
