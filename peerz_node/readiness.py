"""The ready file: one JSON object that appears, whole, when a long-running command serves."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from peerz_node.errors import ConfigurationError


def check_ready_path(path: Path) -> None:
    """Removes what an earlier run left at `path`. Raises ConfigurationError where nothing can be written.

    Called before anything slow starts, so that a wrong path costs no loading time and nobody reads yesterday's file.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(f"--ready-file: there is no directory {path.parent}; create it first")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigurationError(f"--ready-file: {path} cannot be written; choose another path")
    path.unlink(missing_ok=True)


def remove_ready_file(path: Path) -> None:
    """The command serves no longer. Does nothing where there is no file."""
    path.unlink(missing_ok=True)


def write_ready_file(path: Path, facts: Mapping[str, object]) -> None:
    """Writes `facts` as JSON, atomically: a reader sees nothing or everything."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(facts, file)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
