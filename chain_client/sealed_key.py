"""The bytes of a keystore file: an account's seed, sealed under a passphrase. Pure: no file, no clock.

    {"type": "peerz-account", "version": 1, "address": "5...",
     "kdf": {"name": "argon2id", "passes": 3, "memory_bytes": 268435456, "salt": "<32 hex digits>"},
     "cipher": "xsalsa20-poly1305", "sealed": "<nonce and sealed seed, hex>"}

The address stands outside the seal so that accounts can be listed; opening checks it against the seed.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any, Final

import nacl.exceptions
import nacl.pwhash.argon2id as argon2id
import nacl.secret

from chain_client.account import SEED_BYTES, Account, account_of
from chain_client.errors import BadArgument, KeystoreMalformed, WrongPassphrase
from chain_client.types import AccountId

FILE_BYTES_MAX: Final = 4_096
_TYPE, _VERSION = "peerz-account", 1
_KDF, _CIPHER = "argon2id", "xsalsa20-poly1305"
_SEALED_BYTES = nacl.secret.SecretBox.NONCE_SIZE + SEED_BYTES + nacl.secret.SecretBox.MACBYTES
_PASSES = range(1, 9)
_MEMORY_BYTES = range(8 << 20, (512 << 20) + 1)
"""A file from elsewhere cannot make us allocate more, or compute for longer than some seconds."""


@dataclass(frozen=True, slots=True)
class Kdf:
    """Cost of argon2id. The default is libsodium's "moderate": about a second, 256 MiB."""

    passes: int = 3
    memory_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        if self.passes not in _PASSES or self.memory_bytes not in _MEMORY_BYTES:
            raise BadArgument(
                f"argon2id takes {_PASSES.start} to {_PASSES.stop - 1} passes over "
                f"{_MEMORY_BYTES.start >> 20} to {_MEMORY_BYTES.stop - 1 >> 20} MiB"
            )


@dataclass(frozen=True, slots=True, repr=False)
class SealedKey:
    """A keystore file, decoded and checked but not opened."""

    account: AccountId
    kdf: Kdf
    salt: bytes
    sealed: bytes

    def open(self, passphrase: str) -> Account:
        """The account. Takes as long as the KDF. Raises WrongPassphrase, KeystoreMalformed."""
        try:
            seed = _box(passphrase, self.salt, self.kdf).decrypt(self.sealed)
        except nacl.exceptions.CryptoError:
            raise WrongPassphrase("the passphrase does not open this account; try again") from None
        account = Account.from_seed(bytes(seed))
        if account.account != self.account:
            raise KeystoreMalformed("the file's address is not that of its key; restore it from a backup")
        return account


def seal(seed: bytes, passphrase: str, address: str, kdf: Kdf) -> bytes:
    """The bytes of a keystore file. Raises BadArgument for an empty passphrase."""
    if not passphrase:
        raise BadArgument("an empty passphrase protects nothing; choose another one")
    salt = secrets.token_bytes(argon2id.SALTBYTES)
    made = {
        "type": _TYPE,
        "version": _VERSION,
        "address": address,
        "kdf": {"name": _KDF, "passes": kdf.passes, "memory_bytes": kdf.memory_bytes, "salt": salt.hex()},
        "cipher": _CIPHER,
        "sealed": bytes(_box(passphrase, salt, kdf).encrypt(seed)).hex(),
    }
    return json.dumps(made, indent=1).encode() + b"\n"


def decode(data: bytes) -> SealedKey:
    """Checks every field of a keystore file. Raises KeystoreMalformed."""
    if len(data) > FILE_BYTES_MAX:
        raise KeystoreMalformed(f"no keystore file has more than {FILE_BYTES_MAX} bytes; name another one")
    try:
        found = json.loads(data)
        if found["type"] != _TYPE:
            raise ValueError("it is another kind of file")
        if found["version"] != _VERSION:
            raise ValueError("it is of a later version: update peerz-node")
        if found["cipher"] != _CIPHER or found["kdf"]["name"] != _KDF:
            raise ValueError("its cipher is not known")
        kdf = Kdf(_integer(found["kdf"]["passes"]), _integer(found["kdf"]["memory_bytes"]))
        salt = _bytes(found["kdf"]["salt"], argon2id.SALTBYTES)
        sealed = _bytes(found["sealed"], _SEALED_BYTES)
        if not isinstance(found["address"], str):
            raise TypeError("the address is no text")
        return SealedKey(account_of(found["address"]), kdf, salt, sealed)
    except (ValueError, TypeError, LookupError, RecursionError, BadArgument) as error:
        reason = f"field {error} is missing" if isinstance(error, KeyError) else str(error)[:200]
        raise KeystoreMalformed(f"this is no usable keystore file: {reason}; restore it from a backup") from None


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("a cost of the KDF is no whole number")
    return value


def _bytes(value: Any, length: int) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * length:
        raise ValueError("a field has the wrong length")
    return bytes.fromhex(value)


def _box(passphrase: str, salt: bytes, kdf: Kdf) -> nacl.secret.SecretBox:
    key = argon2id.kdf(
        nacl.secret.SecretBox.KEY_SIZE, passphrase.encode(), salt, opslimit=kdf.passes, memlimit=kdf.memory_bytes
    )
    return nacl.secret.SecretBox(key)
