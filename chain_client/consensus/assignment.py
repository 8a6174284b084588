"""Which validators attest which provider in an epoch: the `k` lowest hashes over the epoch's seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain_client.consensus.hashing import blake2_256, u32_le

_DOMAIN = b"peerz/assign/v1"


@dataclass(frozen=True, slots=True)
class AssignmentParams:
    """Up to `all_up_to` validators all attest everybody; beyond, `k` attest each provider."""

    all_up_to: int = 16
    k: int = 15

    def count(self, validators: int) -> int:
        return validators if validators <= self.all_up_to else min(validators, self.k)


def rank(seed: bytes, validator: bytes, provider: bytes) -> bytes:
    """The draw of one pair; lower is chosen first."""
    return blake2_256(_DOMAIN, seed, u32_le(len(validator)), validator, u32_le(len(provider)), provider)


def assigned(params: AssignmentParams, seed: bytes, provider: bytes, validators: Sequence[bytes]) -> list[int]:
    """Positions in `validators`, ascending, of those assigned to `provider`."""
    count = params.count(len(validators))
    if count == len(validators):
        return list(range(count))
    ranked = sorted((rank(seed, validator, provider), position) for position, validator in enumerate(validators))
    return sorted(position for _, position in ranked[:count])
