"""What the command line adds to the errors of `compute`: same roots, so `exit_code` and the one-sentence rule hold.

ComputeError
├── CallerError
│   └── ConfigurationError   a file, variable or option that cannot be used
└── NodeError
    ├── ChildFailed          a process that this command supervises ended too early
    ├── ChainFailed          a chain that cannot start, answers what none does, or refuses a call
    │   └── ChainUnreachable    nobody answers at its URL
    └── TokensDiffer         the swarm's greedy tokens are not the local model's
"""

from __future__ import annotations

from compute.errors import CallerError, NodeError

EXIT_BUG = 70
"""An error that nobody foresaw; the number is that of `EX_SOFTWARE` in sysexits.h."""
EXIT_INTERRUPTED = 130
"""Ctrl-C, as shells count it: 128 + SIGINT."""
EXIT_TERMINATED = 143
"""SIGTERM of anything but a provider: 128 + SIGTERM."""


class ConfigurationError(CallerError):
    """A setting that cannot be used, with where it came from."""


class ChildFailed(NodeError):
    """A supervised process ended before it was asked to."""


class ChainFailed(NodeError):
    """A chain cannot start, answers what none does, or refuses what it is asked."""


class ChainUnreachable(ChainFailed):
    """Nobody answers at the URL of a chain."""

    exit_code = 4


class TokensDiffer(NodeError):
    """The same greedy generation gave other tokens over the swarm than on this machine."""

    exit_code = 10
