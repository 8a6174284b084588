"""Bindings: both keys sign exactly what the pallet checks, for one chain, until an expiry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import nacl.signing
import pytest

from chain_client.account import Account
from chain_client.binding import (
    BINDING_DOMAIN,
    ED25519,
    LIFE_S,
    RENEW_BEFORE_S,
    SR25519,
    Binding,
    bind,
    binding_body,
    next_expiry,
    signed_payload,
)
from chain_client.errors import BadArgument
from chain_client.types import AccountId

GENESIS = bytes(range(32))
EXPIRY = 1_800_000_000


class Node:
    """An ed25519 key as a node has it."""

    def __init__(self, seed: bytes) -> None:
        self._key = nacl.signing.SigningKey(seed)
        self.public_key = bytes(self._key.verify_key)

    def sign(self, payload: bytes) -> bytes:
        return bytes(self._key.sign(payload).signature)


@pytest.fixture
def node() -> Node:
    return Node(bytes(32))


@pytest.fixture
def binding(alice: Account, node: Node) -> Binding:
    return bind(alice, node, GENESIS, EXPIRY)


def test_a_binding_holds_until_it_expires(binding: Binding) -> None:
    assert binding.holds(GENESIS, EXPIRY - 1)
    assert not binding.holds(GENESIS, EXPIRY)


def test_a_binding_holds_for_its_chain_account_key_and_expiry_only(binding: Binding, bob: Account) -> None:
    assert not binding.holds(bytes(32), 0)
    for forged in (
        replace(binding, account=bob.account),
        replace(binding, expiry=EXPIRY + 1),
        replace(binding, node_key=Node(bytes([1]) * 32).public_key),
        replace(binding, account_signature=binding.node_signature),
        replace(binding, node_signature=binding.account_signature),
        replace(binding, account=AccountId(b"")),
        replace(binding, node_key=b""),
        replace(binding, expiry=2**64),
        replace(binding, node_signature=b""),
        replace(binding, node_key=b"\xff" * 32),
    ):
        assert not forged.holds(GENESIS, 0)


def test_the_two_keys_sign_different_payloads() -> None:
    assert signed_payload(BINDING_DOMAIN, ED25519, GENESIS, b"") != signed_payload(
        BINDING_DOMAIN, SR25519, GENESIS, b""
    )


@pytest.mark.parametrize(("genesis", "domain"), [(b"", b"x"), (bytes(31), b"x"), (GENESIS, b""), (GENESIS, b"x" * 256)])
def test_payloads_of_the_wrong_shape_are_refused(genesis: bytes, domain: bytes) -> None:
    with pytest.raises(BadArgument):
        signed_payload(domain, ED25519, genesis, b"")


@pytest.mark.parametrize("expiry", [-1, 2**64])
def test_expiries_that_do_not_fit_are_refused(alice: Account, node: Node, expiry: int) -> None:
    with pytest.raises(BadArgument):
        bind(alice, node, GENESIS, expiry)


def test_a_binding_is_renewed_when_little_is_left_and_always_for_longer() -> None:
    now = 1_000_000_000
    assert next_expiry(now, None) == now + LIFE_S
    assert next_expiry(now, now + RENEW_BEFORE_S + 1) is None
    assert next_expiry(now, now + RENEW_BEFORE_S) == now + LIFE_S
    assert next_expiry(now, now - 5) == now + LIFE_S
    held = now + 50
    assert next_expiry(now, held, life_s=100) == now + 100
    assert next_expiry(now, held, life_s=60) is None


def test_what_is_signed_is_what_the_pallet_replays(
    check_vectors: Callable[[str, object], None], alice: Account
) -> None:
    """`pallets/runtime/src/tests/client_vectors.rs` reads the same file."""
    node = Node(bytes([7]) * 32)
    body = binding_body(alice.account, node.public_key, EXPIRY)
    payloads = {
        "account_payload": signed_payload(BINDING_DOMAIN, SR25519, GENESIS, body).hex(),
        "node_payload": signed_payload(BINDING_DOMAIN, ED25519, GENESIS, body).hex(),
    }
    made = {
        "domain": BINDING_DOMAIN.decode(),
        "genesis": GENESIS.hex(),
        "account": alice.account.hex(),
        "node_key": node.public_key.hex(),
        "expiry": EXPIRY,
        **payloads,
        "node_signature": node.sign(bytes.fromhex(payloads["node_payload"])).hex(),
    }
    check_vectors("bindings", made)
