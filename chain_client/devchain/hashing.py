"""The hash functions of a Substrate host."""

from __future__ import annotations

from hashlib import blake2b, sha256

import xxhash
from Crypto.Hash import keccak


def blake2_128(data: bytes) -> bytes:
    """BLAKE2b with 16 bytes."""
    return blake2b(data, digest_size=16).digest()


def blake2_256(data: bytes) -> bytes:
    """BLAKE2b with 32 bytes."""
    return blake2b(data, digest_size=32).digest()


def twox_64(data: bytes) -> bytes:
    """xxHash64 with seed 0, 8 bytes little-endian."""
    return xxhash.xxh64_intdigest(data).to_bytes(8, "little")


def twox_128(data: bytes) -> bytes:
    """xxHash64 with seeds 0 and 1, 16 bytes."""
    low, high = xxhash.xxh64_intdigest(data), xxhash.xxh64_intdigest(data, 1)
    return (high << 64 | low).to_bytes(16, "little")


def twox_256(data: bytes) -> bytes:
    """xxHash64 with seeds 0 to 3, 32 bytes."""
    return b"".join(xxhash.xxh64_intdigest(data, seed).to_bytes(8, "little") for seed in range(4))


def keccak_256(data: bytes) -> bytes:
    """Keccak as Ethereum uses it, 32 bytes."""
    return keccak.new(digest_bits=256, data=data).digest()


def sha2_256(data: bytes) -> bytes:
    """SHA-256."""
    return sha256(data).digest()
