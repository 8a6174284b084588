"""BLAKE2b-256 and the little SCALE that commitments need."""

from __future__ import annotations

import hashlib


def blake2_256(*parts: bytes) -> bytes:
    """BLAKE2b with 32 bytes of output over the concatenation of `parts`."""
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


def compact(value: int) -> bytes:
    """SCALE's compact form of a number below 2^30, as lengths are."""
    if value < 1 << 6:
        return (value << 2).to_bytes(1, "little")
    if value < 1 << 14:
        return (value << 2 | 1).to_bytes(2, "little")
    if value < 1 << 30:
        return (value << 2 | 2).to_bytes(4, "little")
    raise ValueError(f"{value} is no length of a row")


def u32_le(value: int) -> bytes:
    return value.to_bytes(4, "little")
