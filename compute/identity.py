"""A node's ed25519 key: its libp2p identity, and what signs its receipts and records. Design 2.

Key files hold the 32-byte seed, alone or sealed under a passphrase:

    "peerz-key" || version (1) || 0 || seed
    "peerz-key" || version (1) || 1 || argon2id salt (16) || secretbox(nonce (24) || seed + 16)
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Protocol

import base58
import nacl.exceptions
import nacl.pwhash.argon2id as argon2id
import nacl.secret
import nacl.signing

from compute.errors import CallerError
from compute.types import PeerId

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
NETWORK_ID_BYTES = 32
NO_CHAIN = bytes(NETWORK_ID_BYTES)
"""The network id of a swarm without a chain."""

_SEED_BYTES = 32
_KEY_MAGIC = b"peerz-key\x01"
_PLAIN, _SEALED = b"\x00", b"\x01"
_PAYLOAD_VERSION = 1
_ALGORITHM_ED25519 = 1
# A libp2p peer id of an ed25519 key: identity multihash of the protobuf PublicKey(type=Ed25519, data=32 bytes).
_PEER_ID_PREFIX = bytes.fromhex("002408011220")
# A libp2p identity file: protobuf PrivateKey(type=Ed25519, data=seed + public key).
_IDENTITY_PREFIX = bytes.fromhex("08011240")


class KeyFileError(CallerError):
    """A key file that cannot be used; the message says why and what to do."""

    exit_code = 3


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
        """The key in `path`, which is created (mode 0600) if it is missing. Raises KeyFileError."""
        try:
            return cls(_open_seed(path.read_bytes(), path, passphrase))
        except FileNotFoundError:
            key = cls.generate()
            _write_private(path, _seal_seed(bytes(key._key), passphrase))
            return key

    @property
    def peer_id(self) -> PeerId:
        return peer_id_of(self.public_key)

    def sign(self, payload: bytes) -> bytes:
        return bytes(self._key.sign(payload).signature)

    def write_libp2p_identity(self, path: Path) -> None:
        """Writes the key as the libp2p daemon reads it, mode 0600."""
        _write_private(path, _IDENTITY_PREFIX + bytes(self._key) + self.public_key)


def verify(public_key: bytes, payload: bytes, signature: bytes) -> bool:
    """Whether `signature` is `public_key`'s signature of `payload`. Malformed keys and signatures are simply not."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        nacl.signing.VerifyKey(public_key).verify(payload, signature)
    except (nacl.exceptions.BadSignatureError, nacl.exceptions.CryptoError, ValueError):
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
    return PeerId(base58.b58encode(_PEER_ID_PREFIX + public_key).decode())


def public_key_of(peer_id: PeerId) -> bytes:
    """The ed25519 key that a peer id is made of. Raises ValueError for ids of other kinds of key."""
    raw = base58.b58decode(peer_id)
    if len(raw) != len(_PEER_ID_PREFIX) + PUBLIC_KEY_BYTES or not raw.startswith(_PEER_ID_PREFIX):
        raise ValueError(f"{peer_id!r} is not the peer id of an ed25519 key")
    return raw[len(_PEER_ID_PREFIX) :]


def _seal_seed(seed: bytes, passphrase: str | None) -> bytes:
    if passphrase is None:
        return _KEY_MAGIC + _PLAIN + seed
    salt = secrets.token_bytes(argon2id.SALTBYTES)
    return _KEY_MAGIC + _SEALED + salt + bytes(_box(passphrase, salt).encrypt(seed))


def _open_seed(data: bytes, path: Path, passphrase: str | None) -> bytes:
    body = data.removeprefix(_KEY_MAGIC)
    kind, body = body[:1], body[1:]
    if len(data) > 200 or not data.startswith(_KEY_MAGIC) or kind not in (_PLAIN, _SEALED):
        raise KeyFileError(f"{path} is no Peerz key file; name another one, or a new one to have it created")
    if kind == _PLAIN:
        seed = body
    elif passphrase is None:
        raise KeyFileError(f"{path} is sealed; give its passphrase")
    else:
        salt, sealed = body[: argon2id.SALTBYTES], body[argon2id.SALTBYTES :]
        try:
            seed = bytes(_box(passphrase, salt).decrypt(sealed))
        except (nacl.exceptions.CryptoError, ValueError):
            raise KeyFileError(f"the passphrase does not open {path}") from None
    if len(seed) != _SEED_BYTES:
        raise KeyFileError(f"{path} is damaged; restore it from a backup, or name a new file to get a new identity")
    return seed


def _box(passphrase: str, salt: bytes) -> nacl.secret.SecretBox:
    key = argon2id.kdf(
        nacl.secret.SecretBox.KEY_SIZE,
        passphrase.encode(),
        salt,
        opslimit=argon2id.OPSLIMIT_MODERATE,
        memlimit=argon2id.MEMLIMIT_MODERATE,
    )
    return nacl.secret.SecretBox(key)


def _write_private(path: Path, data: bytes) -> None:
    """Writes the whole file or nothing, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    draft.replace(path)
