"""The chain in an SQLite file: survives being killed at any moment.

One commit is one SQLite transaction in write-ahead mode, and is on the disk before `commit` returns. The file belongs
to one process at a time. It holds the state at the head only; older states are the head's with undo records applied.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chain_client.devchain.errors import ScaleError, StoreError
from chain_client.devchain.header import Block
from chain_client.devchain.scale import Reader, byte_vector, option, sequence
from chain_client.devchain.store import Changes, Commit, Stored

_APPLICATION_ID = 0x50525A43
_SCHEMA_VERSION = 1
_SCHEMA = (
    "CREATE TABLE block (number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, data BLOB NOT NULL)",
    "CREATE TABLE state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE undo (number INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE final (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL)",
    "INSERT INTO final VALUES (1, 0)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_SCHEMA_VERSION}",
)


class SqliteStore:
    """The chain in `file`, which is made when missing (with its directory, for the user alone).

    Raises `StoreError` when the file is no chain, damaged, or open in another process. Not for two threads at once.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(f"{file} cannot be opened: {error.strerror}") from None
        self._db = sqlite3.connect(file, timeout=0.0, isolation_level=None, check_same_thread=False)
        try:
            with self._errors():
                self._open()
        except BaseException:
            self._db.close()
            raise

    def _open(self) -> None:
        for pragma in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "locking_mode = EXCLUSIVE",
            "journal_mode = WAL",
            "synchronous = FULL",
        ):
            self._db.execute(f"PRAGMA {pragma}")
        # In exclusive mode the first write lock is kept until the file is closed.
        with self._transaction():
            application, version = (
                self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            if (application, version) == (_APPLICATION_ID, _SCHEMA_VERSION):
                return
            if self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] or application or version:
                raise StoreError(f"{self._file} is no chain of this version")
            for statement in _SCHEMA:
                self._db.execute(statement)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What SQLite and the decoders raise, as the store's own error."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreError(f"{self._file} is open in another process") from None
            raise StoreError(f"{self._file}: {error}") from None
        except sqlite3.Error as error:
            raise StoreError(f"{self._file} is damaged: {error}") from None
        except (ScaleError, TypeError, ValueError) as error:
            raise StoreError(f"{self._file} is damaged: {error}") from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing."""
        self._db.execute("BEGIN EXCLUSIVE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def load(self) -> Stored | None:
        with self._errors():
            row = self._db.execute("SELECT hash, data FROM block ORDER BY number DESC LIMIT 1").fetchone()
            if row is None:
                return None
            finalised = self._db.execute("SELECT number FROM final").fetchone()
            entries = {_blob(key): _blob(value) for key, value in self._db.execute("SELECT key, value FROM state")}
            head = _block(*row)
            if finalised is None or not 0 <= int(finalised[0]) <= head.header.number:
                raise ValueError("no record of the last finalised block")
            return Stored(head, int(finalised[0]), entries)

    def commit(self, commit: Commit) -> None:
        header = commit.block.header
        written = [(key, value) for key, value in commit.changes.items() if value is not None]
        deleted = [(key,) for key, value in commit.changes.items() if value is None]
        with self._errors(), self._transaction():
            self._db.execute("INSERT INTO block VALUES (?, ?, ?)", (header.number, header.hash, commit.block.encoded()))
            self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", written)
            self._db.executemany("DELETE FROM state WHERE key = ?", deleted)
            self._db.execute("INSERT INTO undo VALUES (?, ?)", (header.number, _encoded(commit.undo)))
            self._db.execute("DELETE FROM undo WHERE number < ?", (commit.undo_from,))
            self._db.execute("UPDATE final SET number = ?", (commit.finalised,))

    def finalise(self, number: int) -> None:
        with self._errors(), self._transaction():
            self._db.execute("UPDATE final SET number = ?", (number,))

    def block(self, block_hash: bytes) -> Block | None:
        with self._errors():
            row = self._db.execute("SELECT hash, data FROM block WHERE hash = ?", (block_hash,)).fetchone()
            return None if row is None else _block(*row)

    def hash_at(self, number: int) -> bytes | None:
        with self._errors():
            row = self._db.execute("SELECT hash FROM block WHERE number = ?", (number,)).fetchone()
            return None if row is None else _blob(row[0])

    def undo(self, number: int) -> Changes | None:
        with self._errors():
            row = self._db.execute("SELECT data FROM undo WHERE number = ?", (number,)).fetchone()
            return None if row is None else _decoded(_blob(row[0]))

    def close(self) -> None:
        self._db.close()


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a column of another type")
    return value


def _block(block_hash: object, data: object) -> Block:
    block = Block.decoded(_blob(data))
    if block.header.hash != block_hash:
        raise ValueError(f"block {block.header.number} has another hash")
    return block


def _encoded(changes: Changes) -> bytes:
    """SCALE `Vec<(Vec<u8>, Option<Vec<u8>>)>`."""
    return sequence(
        byte_vector(key) + option(None if value is None else byte_vector(value)) for key, value in changes.items()
    )


def _decoded(data: bytes) -> Changes:
    reader = Reader(data)
    changes = {}
    for _ in range(reader.count(2)):
        key = reader.byte_vector()
        changes[key] = reader.byte_vector() if reader.boolean() else None
    reader.end()
    return changes
