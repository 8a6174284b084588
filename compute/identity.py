"""A node's ed25519 key: its libp2p identity, and what signs its receipts and records. Design 2.

Key files hold the 32-byte seed, alone or sealed under a passphrase:

    "peerz-key" || version (1) || 0 || seed
    "peerz-key" || version (1) || 1 || argon2id salt (16) || secretbox (nonce (24) || sealed seed (48))

Version 1 derives the secretbox's key with libsodium's "moderate" argon2id: 3 passes over 256 MiB, about a second.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
from pathlib import Path
from typing import Protocol

import base58
import nacl.exceptions
import nacl.pwhash.argon2id as argon2id
import nacl.secret
import nacl.signing

from compute.errors import KeyFileError
from compute.types import PeerId

logger = logging.getLogger(__name__)

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
NETWORK_ID_BYTES = 32
NO_CHAIN = bytes(NETWORK_ID_BYTES)
"""The network id of a swarm without a chain."""

_SEED_BYTES = 32
_KEY_MAGIC = b"peerz-key\x01"
_PLAIN, _SEALED = b"\x00", b"\x01"
_BODY_BYTES = {
    _PLAIN: _SEED_BYTES,
    _SEALED: argon2id.SALTBYTES + nacl.secret.SecretBox.NONCE_SIZE + _SEED_BYTES + nacl.secret.SecretBox.MACBYTES,
}
_KEY_FILE_BYTES_MAX = len(_KEY_MAGIC) + 1 + max(_BODY_BYTES.values())
_PAYLOAD_VERSION = 1
_ALGORITHM_ED25519 = 1
# A libp2p peer id of an ed25519 key: identity multihash of the protobuf PublicKey(type=Ed25519, data=32 bytes).
_PEER_ID_PREFIX = bytes.fromhex("002408011220")
# A libp2p identity file: protobuf PrivateKey(type=Ed25519, data=seed + public key).
_IDENTITY_PREFIX = bytes.fromhex("08011240")
_PEER_ID_CHARS_MAX = 64


class Signer(Protocol):
    """What signs for a node. `compute` never asks where the key lives."""

    @property
    def public_key(self) -> bytes:
        """The ed25519 public key, 32 bytes."""
        ...

    def sign(self, payload: bytes) -> bytes:
        """The ed25519 signature of `payload`, 64 bytes."""
        ...


class NodeKey:
    """An ed25519 key held in this process."""

    def __init__(self, seed: bytes) -> None:
        self._key = nacl.signing.SigningKey(seed)
        self.public_key = bytes(self._key.verify_key)

    def __repr__(self) -> str:
        return f"NodeKey({self.peer_id})"  # never the seed

    @classmethod
    def generate(cls) -> NodeKey:
        return cls(secrets.token_bytes(_SEED_BYTES))

    @classmethod
    def load_or_create(cls, path: Path, passphrase: str | None = None) -> NodeKey:
        """The key in `path`, which is created (mode 0600) if it is missing: sealed under `passphrase`, if one is given.

        Raises KeyFileError. Two processes that create the same file at once end with the same key.
        """
        if passphrase == "":
            raise KeyFileError("an empty passphrase protects nothing; give another one, or none at all")
        try:
            data = _read_key_file(path)
            if data is None:
                key = cls.generate()
                if _create_private(path, _seal_seed(bytes(key._key), passphrase)):
                    if passphrase is None:
                        logger.warning("the new key in %s is not sealed: whoever reads the file is this node", path)
                    return key
                data = _read_key_file(path) or b""
        except OSError as error:
            raise KeyFileError(f"the key file {path} cannot be used: {error.strerror}; name another one") from error
        return cls(_open_seed(data, path, passphrase))

    @property
    def peer_id(self) -> PeerId:
        return peer_id_of(self.public_key)

    def sign(self, payload: bytes) -> bytes:
        return bytes(self._key.sign(payload).signature)

    def write_libp2p_identity(self, path: Path) -> None:
        """Writes the key as the libp2p daemon reads it, mode 0600, whole or not at all. Raises OSError."""
        draft = _write_draft(path, _IDENTITY_PREFIX + bytes(self._key) + self.public_key)
        draft.replace(path)


def verify(public_key: bytes, payload: bytes, signature: bytes) -> bool:
    """Whether `signature` is `public_key`'s signature of `payload`. Malformed keys and signatures are simply not."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        nacl.signing.VerifyKey(public_key).verify(payload, signature)
    except (nacl.exceptions.CryptoError, ValueError):
        return False
    return True


def signed_payload(domain: bytes, network_id: bytes, body: bytes) -> bytes:
    """What is signed: `length of domain || domain || version || signature algorithm || network id || body`. Design 2.

    The length makes domains prefix-free. `network_id` is the chain's genesis hash, `NO_CHAIN` without one.
    """
    if len(network_id) != NETWORK_ID_BYTES:
        raise ValueError(f"a network id has {NETWORK_ID_BYTES} bytes")
    return bytes([len(domain)]) + domain + bytes([_PAYLOAD_VERSION, _ALGORITHM_ED25519]) + network_id + body


def peer_id_of(public_key: bytes) -> PeerId:
    """The libp2p peer id of an ed25519 key: base58 of the key itself behind a fixed prefix."""
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise ValueError(f"an ed25519 public key has {PUBLIC_KEY_BYTES} bytes")
    return PeerId(base58.b58encode(_PEER_ID_PREFIX + public_key).decode())


def public_key_of(peer_id: PeerId) -> bytes:
    """The ed25519 key that a peer id is made of. Raises ValueError for ids of other kinds, and other spellings."""
    if len(peer_id) <= _PEER_ID_CHARS_MAX:  # base58 takes quadratic time
        public_key: bytes = base58.b58decode(peer_id).removeprefix(_PEER_ID_PREFIX)
        if len(public_key) == PUBLIC_KEY_BYTES and peer_id_of(public_key) == peer_id:
            return public_key
    raise ValueError(f"{peer_id[:_PEER_ID_CHARS_MAX]!r} is not the peer id of an ed25519 key")


def _seal_seed(seed: bytes, passphrase: str | None) -> bytes:
    if passphrase is None:
        return _KEY_MAGIC + _PLAIN + seed
    salt = secrets.token_bytes(argon2id.SALTBYTES)
    return _KEY_MAGIC + _SEALED + salt + bytes(_box(passphrase, salt).encrypt(seed))


def _open_seed(data: bytes, path: Path, passphrase: str | None) -> bytes:
    """The seed in the bytes of a key file. Raises KeyFileError."""
    kind, body = data[len(_KEY_MAGIC) : len(_KEY_MAGIC) + 1], data[len(_KEY_MAGIC) + 1 :]
    if not data.startswith(_KEY_MAGIC) or kind not in _BODY_BYTES:
        raise KeyFileError(f"{path} is no Peerz key file; name another one, or a new one to have it created")
    if len(body) != _BODY_BYTES[kind]:
        raise KeyFileError(f"{path} is damaged; restore it from a backup, or name a new file to get a new identity")
    if kind == _PLAIN:
        return body
    if passphrase is None:
        raise KeyFileError(f"{path} is sealed; give its passphrase")
    salt, sealed = body[: argon2id.SALTBYTES], body[argon2id.SALTBYTES :]
    try:
        return bytes(_box(passphrase, salt).decrypt(sealed))
    except nacl.exceptions.CryptoError:
        raise KeyFileError(f"the passphrase does not open {path}; try again, or restore the file") from None


def _box(passphrase: str, salt: bytes) -> nacl.secret.SecretBox:
    key = argon2id.kdf(
        nacl.secret.SecretBox.KEY_SIZE,
        passphrase.encode(),
        salt,
        opslimit=argon2id.OPSLIMIT_MODERATE,
        memlimit=argon2id.MEMLIMIT_MODERATE,
    )
    return nacl.secret.SecretBox(key)


def _read_key_file(path: Path) -> bytes | None:
    """The file's bytes, cut off where no key file is that long; None if there is no file. Raises OSError."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                logger.warning("other users may read the key file %s: run chmod 600 on it", path)
            return file.read(_KEY_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None


def _create_private(path: Path, data: bytes) -> bool:
    """Writes the whole file or nothing, readable by its owner only; False if another process was first."""
    draft = _write_draft(path, data)
    try:
        os.link(draft, path)  # unlike a rename, never replaces a key
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _write_draft(path: Path, data: bytes) -> Path:
    """A new file beside `path`, mode 0600, safely on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        draft.unlink()
        raise
    return draft
