"""Where the program begins: small, so that Ctrl-C ends it well even while the rest of it is being imported."""

from __future__ import annotations

import sys

EXIT_INTERRUPTED = 130
"""As `errors.EXIT_INTERRUPTED`, which takes an import that may be interrupted too."""


def main() -> None:
    """Entry point of the `peerz-node` program."""
    try:
        from peerz_node.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
