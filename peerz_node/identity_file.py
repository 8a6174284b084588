"""Which key file a node uses. A peer id may be in use once: two nodes with one key would fight over its record."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from peerz_node.errors import ConfigurationError

NODES_PER_MACHINE_MAX = 256


def default_identity_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "peerz"


@contextmanager
def claimed_identity(path: Path | None) -> Iterator[Path]:
    """The key file to use, locked against other nodes of this machine while the context lasts.

    Without `path`, the first of `node.key`, `node-2.key` ... in the user's data directory that no running node holds: a
    second provider on a machine gets a second identity, and each restart finds the first free one again. Raises
    ConfigurationError when `path` is held by another node. The lock dies with the process, however that ends.
    """
    for candidate in [path] if path is not None else _default_paths():
        try:
            candidate.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(candidate.with_name(candidate.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"the key file {candidate} cannot be used: {error}; choose --identity") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield candidate
        finally:
            os.close(lock)
        return
    named = path or default_identity_dir()
    raise ConfigurationError(f"another running node holds the identity {named}; choose another --identity")


def _default_paths() -> Iterator[Path]:
    yield default_identity_dir() / "node.key"
    for n in count(2):
        if n > NODES_PER_MACHINE_MAX:
            return
        yield default_identity_dir() / f"node-{n}.key"
