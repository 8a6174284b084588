"""Bindings: which ed25519 node key speaks for which account. Account and node key both sign. Design 2.

What they sign is `length of domain || domain || version || signature algorithm || genesis hash || body`, where the body
is `account (32) || node key (32) || expiry u64`, little-endian: exactly what `pallets/peerz/src/bindings.rs` checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import nacl.exceptions
import nacl.signing

from chain_client.account import ACCOUNT_BYTES, SIGNATURE_BYTES, AccountSigner, verify
from chain_client.errors import BadArgument
from chain_client.types import AccountId

BINDING_DOMAIN: Final = b"peerz/node-binding"
ED25519: Final = 1
SR25519: Final = 2
_PAYLOAD_VERSION = 1
_HASH_BYTES = 32
_KEY_BYTES = 32
_U64_MAX = 2**64 - 1

LIFE_S: Final = 180 * 24 * 3_600
"""For how long a new binding holds. The chain takes at most 366 days."""
RENEW_BEFORE_S: Final = 30 * 24 * 3_600
"""A binding is renewed when less than this is left."""


class NodeSigner(Protocol):
    """What signs for a node: an ed25519 key."""

    @property
    def public_key(self) -> bytes: ...

    def sign(self, payload: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding with both signatures. `expiry` in seconds since 1970."""

    account: AccountId
    node_key: bytes
    expiry: int
    account_signature: bytes
    node_signature: bytes

    def holds(self, genesis: bytes, now_s: int) -> bool:
        """Whether both signed it for this chain, and it has not expired."""
        if self.expiry <= now_s or self.expiry > _U64_MAX or len(self.account) != ACCOUNT_BYTES:
            return False
        if len(self.node_key) != _KEY_BYTES or len(self.node_signature) != SIGNATURE_BYTES:
            return False
        body = binding_body(self.account, self.node_key, self.expiry)
        if not verify(self.account, signed_payload(BINDING_DOMAIN, SR25519, genesis, body), self.account_signature):
            return False
        try:
            payload = signed_payload(BINDING_DOMAIN, ED25519, genesis, body)
            nacl.signing.VerifyKey(self.node_key).verify(payload, self.node_signature)
        except (nacl.exceptions.CryptoError, ValueError):
            return False
        return True


def bind(account: AccountSigner, node: NodeSigner, genesis: bytes, expiry: int) -> Binding:
    """Both keys sign that they belong together until `expiry`. Raises BadArgument."""
    body = binding_body(account.account, node.public_key, expiry)
    return Binding(
        account.account,
        node.public_key,
        expiry,
        account.sign(signed_payload(BINDING_DOMAIN, SR25519, genesis, body)),
        node.sign(signed_payload(BINDING_DOMAIN, ED25519, genesis, body)),
    )


def next_expiry(now_s: int, held_until: int | None, life_s: int = LIFE_S) -> int | None:
    """Until when a binding made now should hold; None while that one (`held_until`) still does for long enough.

    The chain takes a renewal only when it holds for longer than what it renews.
    """
    wanted = now_s + life_s
    if held_until is None:
        return wanted
    due = held_until - now_s <= min(RENEW_BEFORE_S, life_s // 2)
    return max(wanted, held_until + 1) if due else None


def binding_body(account: AccountId, node_key: bytes, expiry: int) -> bytes:
    """`account || node key || expiry`. Raises BadArgument for wrong lengths."""
    if len(account) != ACCOUNT_BYTES or len(node_key) != _KEY_BYTES or not 0 <= expiry <= _U64_MAX:
        raise BadArgument("a binding is of a 32-byte account, a 32-byte node key and an expiry in seconds")
    return bytes(account) + node_key + expiry.to_bytes(8, "little")


def signed_payload(domain: bytes, algorithm: int, genesis: bytes, body: bytes) -> bytes:
    """What is signed: see the module. Raises BadArgument."""
    if len(genesis) != _HASH_BYTES or not 0 < len(domain) < 256:
        raise BadArgument("a genesis hash has 32 bytes, a domain 1 to 255")
    return bytes([len(domain)]) + domain + bytes([_PAYLOAD_VERSION, algorithm]) + genesis + body
