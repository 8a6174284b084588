"""Every refusal of the chain comes with what to do, and with the exit code of its kind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chain_client import errors
from chain_client.pallet_errors import BY_NAME, dispatch_failure
from peerz_node.wallet.errors import ChainTrouble
from peerz_node.wallet.hints import HINTS

from .conftest import LiveChain


def test_every_error_of_the_pallet_has_a_hint() -> None:
    assert sorted(BY_NAME.keys() - HINTS.keys()) == []


def test_no_hint_is_about_an_error_that_there_is_not() -> None:
    others = {"FundsUnavailable", "Underflow", "NotExpendable", "BelowMinimum", "BadOrigin"}
    assert sorted(HINTS.keys() - BY_NAME.keys() - others) == []


def test_a_refusal_is_one_sentence_with_cause_and_cure() -> None:
    trouble = ChainTrouble(dispatch_failure("Peerz", "VoteTooSmall", "The lock of a vote must have the least amount."))
    assert str(trouble) == (
        "the chain refused the call: The lock of a vote must have the least amount (Peerz.VoteTooSmall); "
        "lock more: --lock"
    )
    assert trouble.exit_code == 5


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.WrongPassphrase("x"), 3),
        (errors.BadArgument("x"), 2),
        (errors.NodeUnreachable("x"), 4),
        (errors.TransactionTimeout("x", b""), 4),
        (errors.MalformedAnswer("x"), 6),
        (errors.CannotPayFee("x", 1010), 5),
        (errors.StatePruned("x", 4003), 5),
        (errors.ChainError("x"), 1),
    ],
)
def test_each_kind_has_its_exit_code(error: errors.ChainError, code: int) -> None:
    assert ChainTrouble(error).exit_code == code


def test_commands_of_the_wallet_load_no_tensor_library(chain: LiveChain) -> None:
    code = (
        "import sys\n"
        "from peerz_node.cli import cli\n"
        "for arguments in (['gov', 'tally'], ['epoch'], ['balance', '--dev'], ['transfer', 'bob', '1', '--dev']):\n"
        f"    try: cli([*arguments, '--chain', '{chain.url}'])\n"
        "    except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'transformers', 'hivemind'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
