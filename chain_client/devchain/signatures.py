"""Signature checks of the host, as Substrate makes them. Never an exception: hostile bytes are a bad signature."""

from __future__ import annotations

import ed25519_zebra  # type: ignore[import-untyped]
import sr25519  # type: ignore[import-untyped]


def sr25519_verify(signature: bytes, message: bytes, public: bytes) -> bool:
    """A Schnorrkel signature in the signing context "substrate"."""
    try:
        return bool(sr25519.verify(signature, message, public))
    except Exception:
        # The binding raises on encodings that are no point or scalar, each in its own class.
        return False


def ed25519_verify(signature: bytes, message: bytes, public: bytes) -> bool:
    """An Ed25519 signature under the rules of ZIP-215, which are those of Substrate."""
    try:
        return bool(ed25519_zebra.ed_verify(signature, message, public))
    except Exception:
        return False


def secp256k1_recover(signature: bytes, digest: bytes) -> bytes:
    """`Result<[u8; 33], EcdsaVerifyError>`: the compressed public key that signed `digest`.

    `signature` is r, s and the recovery id (0..3 or 27..30). Errors: 0 bad r or s, 1 bad recovery id, 2 no such key.
    """
    # Imported here: it takes longer than starting the chain, and almost no transaction needs it.
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    recovery = signature[64] - 27 if signature[64] > 26 else signature[64]
    if recovery > 3:
        return b"\1\1"
    try:
        parsed = Signature(signature[:64] + bytes([recovery]))
    except (BadSignature, ValidationError):
        return b"\1\0"
    try:
        return b"\0" + parsed.recover_public_key_from_msg_hash(digest).to_compressed_bytes()
    except (BadSignature, ValidationError, ValueError):
        return b"\1\2"
