"""A validator's seed chain: hashes of which the last is registered and the others are shown one per epoch, backwards.

The secret at its beginning follows from the node key (ed25519 signatures are the same each time), the chain and the
account: there is no further file to lose. `number` is the epoch in which the chain was made, so that an account that
registers again never shows a link twice.
"""

from __future__ import annotations

from typing import Final

from chain_client.binding import ED25519, NodeSigner, signed_payload
from chain_client.consensus.hashing import blake2_256
from chain_client.consensus.seed import chain
from chain_client.types import AccountId

SEED_DOMAIN: Final = b"peerz/seed-chain"
LENGTH: Final = 4_096
"""Links of one chain: as many epochs. At an hour each, half a year."""


def chain_secret(node: NodeSigner, genesis: bytes, account: AccountId, number: int) -> bytes:
    """The beginning of the account's chain `number`. Whoever knows it knows all links: it is shown to nobody."""
    body = bytes(account) + number.to_bytes(4, "little")
    return blake2_256(node.sign(signed_payload(SEED_DOMAIN, ED25519, genesis, body)))


def chain_end(secret: bytes) -> bytes:
    """What is registered."""
    return chain(secret, LENGTH)


def link(secret: bytes, shown: int) -> bytes | None:
    """The link to show after `shown` others; None when the chain is used up."""
    return chain(secret, LENGTH - 1 - shown) if 0 <= shown < LENGTH else None
