"""The accounts of a user: a directory with one sealed file per account, named as the user calls it."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from chain_client.account import DEVELOPMENT_ACCOUNTS, Account, new_phrase, seed_of_phrase
from chain_client.errors import AccountExists, BadName, KeystoreUnusable, UnknownAccount
from chain_client.private_file import create_private, read_bounded
from chain_client.sealed_key import FILE_BYTES_MAX, Kdf, SealedKey, decode, seal
from chain_client.types import AccountId

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_SUFFIX = ".json"
ACCOUNTS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Listed:
    """An account as its file names it, unproven until it is opened. `exposed`: other users may read the file."""

    name: str
    account: AccountId
    path: Path
    exposed: bool


class Keystore:
    """See the module. Methods raise KeystoreError's; those that open or seal take about a second."""

    def __init__(self, directory: Path, kdf: Kdf | None = None) -> None:
        self.directory = directory
        self._kdf = kdf or Kdf()

    def create(self, name: str, passphrase: str) -> tuple[Account, str]:
        """A new account and its mnemonic, which is kept nowhere: it must be shown now or never."""
        phrase = new_phrase()
        return self.restore(name, phrase, passphrase), phrase

    def restore(self, name: str, phrase: str, passphrase: str) -> Account:
        """The account of a mnemonic, sealed under `name`."""
        path = self._new_path(name)
        seed = seed_of_phrase(phrase)
        account = Account.from_seed(seed)
        self._write(path, seal(seed, passphrase, account.address, self._kdf), name)
        return account

    def import_file(self, name: str, data: bytes) -> AccountId:
        """Takes an exported file in as it is, with its own passphrase."""
        path = self._new_path(name)
        sealed = decode(data)
        self._write(path, data, name)
        return sealed.account

    def export_file(self, name: str) -> bytes:
        """The account's file, sealed: what `import_file` takes."""
        data, _ = self._read(name)
        return data

    def open(self, name: str, passphrase: str) -> Account:
        """The account with its key."""
        return self._read(name)[1].open(passphrase)

    def find(self, name: str) -> Listed:
        """What can be said of an account without its passphrase."""
        path = self._path(name)
        _, sealed = self._read(name)
        return Listed(name, sealed.account, path, bool(stat.S_IMODE(path.stat().st_mode) & 0o077))

    def names(self) -> list[str]:
        """The names in the keystore, sorted. Files with names that are none are not accounts."""
        try:
            found = sorted(path.name.removesuffix(_SUFFIX) for path in self.directory.glob("*" + _SUFFIX))
        except OSError as error:
            raise _unusable(self.directory, error) from None
        return [name for name in found if _NAME.fullmatch(name)][:ACCOUNTS_MAX]

    def require_free(self, name: str) -> None:
        """Raises BadName or AccountExists when no account can be made under `name`."""
        self._new_path(name)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise BadName("an account's name has 1 to 32 small letters, digits, - and _, a letter or digit first")
        return self.directory / (name + _SUFFIX)

    def _new_path(self, name: str) -> Path:
        path = self._path(name)
        if name in DEVELOPMENT_ACCOUNTS:
            raise BadName(f"{name} is the name of a development account; choose another one")
        if path.exists():
            raise _exists(name)
        return path

    def _read(self, name: str) -> tuple[bytes, SealedKey]:
        path = self._path(name)
        try:
            data = read_bounded(path, FILE_BYTES_MAX)
        except FileNotFoundError:
            raise UnknownAccount(
                f"there is no account {name!r}; `peerz-node account list` shows those there are"
            ) from None
        except OSError as error:
            raise _unusable(path, error) from None
        return data, decode(data)

    def _write(self, path: Path, data: bytes, name: str) -> None:
        try:
            created = create_private(path, data)
        except OSError as error:
            raise _unusable(path, error) from None
        if not created:
            raise _exists(name)


def _exists(name: str) -> AccountExists:
    return AccountExists(f"there is an account {name!r} already; choose another name")


def _unusable(path: Path, error: OSError) -> KeystoreUnusable:
    return KeystoreUnusable(f"{path} cannot be used: {error.strerror}; choose another --keystore")
