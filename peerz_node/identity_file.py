"""Which key file a node uses. A peer id may be in use once: two nodes with one key would fight over its record."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from peerz_node.errors import ConfigurationError

if TYPE_CHECKING:
    from compute.identity import NodeKey

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
        lock = _locked(candidate, fcntl.LOCK_EX)
        if lock is None:
            continue
        try:
            yield candidate
        finally:
            os.close(lock)
        return
    raise _held(path or default_identity_dir())


@contextmanager
def client_key(path: Path | None) -> Iterator[NodeKey | None]:
    """The key in `path`, made when absent, for a client; None without `path`: a new peer id for each run.

    Clients call and are not called, so several may share a peer id. Raises ConfigurationError when a provider holds it,
    KeyFileError for a file that is no key.
    """
    if path is None:
        yield None
        return
    lock = _locked(path, fcntl.LOCK_SH)
    if lock is None:
        raise _held(path)
    try:
        yield load_key(path)
    finally:
        os.close(lock)


def load_key(path: Path) -> NodeKey:
    """The key in `path`, made (mode 0600) when absent. Raises KeyFileError."""
    from compute.identity import NodeKey

    return NodeKey.load_or_create(path)


def _locked(path: Path, kind: int) -> int | None:
    """A descriptor that holds the key file's lock until it is closed; None where another process holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be used: {error}; choose --identity") from None
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _held(path: Path) -> ConfigurationError:
    return ConfigurationError(f"another running node holds the identity {path}; choose another --identity")


def _default_paths() -> Iterator[Path]:
    yield default_identity_dir() / "node.key"
    for n in count(2):
        if n > NODES_PER_MACHINE_MAX:
            return
        yield default_identity_dir() / f"node-{n}.key"
