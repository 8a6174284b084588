"""What must be set before torch loads, what keeps libraries quiet, and what SIGTERM means to a command."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from types import FrameType

from peerz_node.errors import EXIT_TERMINATED

_ENVIRONMENT = {
    # Waiting OpenMP threads sleep instead of spinning on cores that other nodes of the machine need.
    "OMP_WAIT_POLICY": "passive",
    "KMP_BLOCKTIME": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
_QUIET_ENVIRONMENT = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_VERBOSITY": "error",
    "BITSANDBYTES_NOWELCOME": "1",
    "HIVEMIND_LOGLEVEL": "ERROR",
    "TQDM_DISABLE": "1",  # transformers draws a bar over a GGUF file that its own switch leaves on
}
_NOISY = ("transformers", "bitsandbytes", "huggingface_hub", "hivemind", "torch", "filelock", "urllib3")


def prepare_environment() -> None:
    """Sets variables that libraries read when they load; what the user has set stays. Call before importing any."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def quiet_libraries() -> None:
    """Keeps other people's warnings off the terminal; errors of theirs still show."""
    for name, value in _QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    # The libp2p daemon logs an error whenever its end of a connection is closed, which is how every command ends.
    logging.getLogger("hivemind.p2p.p2p_daemon").setLevel(logging.CRITICAL)


def quiet_weight_bars() -> None:
    """Turns off the bars that transformers draws over its weights; loads transformers. Ours say what goes on."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()


def install_signals() -> None:
    """SIGTERM ends a command through its `finally` clauses, with exit code 143. A provider installs its own on top."""
    signal.signal(signal.SIGTERM, _on_sigterm)


def end_well_on_sigterm() -> None:
    """SIGTERM ends a provider that does not serve yet with exit code 0: it was asked to, and has nothing to drain."""
    signal.signal(signal.SIGTERM, _on_sigterm_of_provider)


def _on_sigterm_of_provider(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    raise SystemExit(EXIT_TERMINATED)
