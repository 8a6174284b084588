"""Accounts: sr25519 keys and their ss58 addresses, and the development accounts that everybody knows."""

from __future__ import annotations

from typing import Final, Protocol

import bip39  # type: ignore[import-untyped]
import sr25519  # type: ignore[import-untyped]
from scalecodec.utils.ss58 import ss58_decode, ss58_encode  # type: ignore[import-untyped]
from substrateinterface import Keypair  # type: ignore[import-untyped]

from chain_client.errors import BadArgument, BadPhrase
from chain_client.types import AccountId

SS58_PREFIX: Final = 42
ACCOUNT_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_ADDRESS_CHARS_MAX = 64
_PHRASE_WORDS = (12, 15, 18, 21, 24)
_PHRASE_CHARS_MAX = 400

DEVELOPMENT_ACCOUNTS: Final = ("alice", "bob", "charlie", "dave", "eve", "ferdie")
"""Their keys are public. The development chain endows them."""


class AccountSigner(Protocol):
    """What signs for an account. The client never asks where the key lives."""

    @property
    def account(self) -> AccountId: ...

    def sign(self, payload: bytes) -> bytes:
        """The sr25519 signature of `payload`, 64 bytes."""
        ...


class Account:
    """An account whose key is held in this process."""

    __slots__ = ("_secret", "account")

    def __init__(self, public: bytes, secret: bytes) -> None:
        self.account = AccountId(public)
        self._secret = secret

    def __repr__(self) -> str:
        return f"Account({self.address})"  # never the secret

    @classmethod
    def from_seed(cls, seed: bytes) -> Account:
        """The account of a 32-byte mini secret."""
        if len(seed) != SEED_BYTES:
            raise BadArgument(f"a seed has {SEED_BYTES} bytes")
        public, secret = sr25519.pair_from_seed(seed)
        return cls(bytes(public), bytes(secret))

    @classmethod
    def development(cls, name: str) -> Account:
        """One of `DEVELOPMENT_ACCOUNTS`. Raises BadArgument for other names."""
        if name.lower() not in DEVELOPMENT_ACCOUNTS:
            raise BadArgument(f"{name!r} is no development account; they are {', '.join(DEVELOPMENT_ACCOUNTS)}")
        pair = Keypair.create_from_uri(f"//{name.capitalize()}", ss58_format=SS58_PREFIX)
        return cls(bytes(pair.public_key), bytes(pair.private_key))

    @property
    def address(self) -> str:
        return address_of(self.account)

    def sign(self, payload: bytes) -> bytes:
        return bytes(sr25519.sign((self.account, self._secret), payload))


def verify(account: AccountId, payload: bytes, signature: bytes) -> bool:
    """Whether `signature` is the account's sr25519 signature of `payload`. Malformed ones are simply not."""
    if len(account) != ACCOUNT_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        return bool(sr25519.verify(signature, payload, account))
    except Exception:  # the binding raises for points that are none, with types of its own
        return False


def address_of(account: AccountId) -> str:
    """The ss58 address, prefix 42."""
    return str(ss58_encode(account, ss58_format=SS58_PREFIX))


def account_of(address: str) -> AccountId:
    """The account of an ss58 address. Raises BadArgument: wrong checksum, prefix or length."""
    try:
        if len(address) > _ADDRESS_CHARS_MAX or address.startswith("0x"):
            raise ValueError("no ss58 address")
        return AccountId(bytes.fromhex(ss58_decode(address, valid_ss58_format=SS58_PREFIX)))
    except Exception:  # the library raises many kinds, IndexError among them
        shown = address[:_ADDRESS_CHARS_MAX]
        raise BadArgument(f"{shown!r} is no address of this network; check that it was copied whole") from None


def new_phrase() -> str:
    """A fresh mnemonic of twelve words."""
    return str(bip39.bip39_generate(12, "en"))


def seed_of_phrase(phrase: str) -> bytes:
    """The 32-byte mini secret of a mnemonic. Raises BadPhrase without repeating a word of it."""
    words = phrase[: _PHRASE_CHARS_MAX + 1].lower().split()
    if len(phrase) > _PHRASE_CHARS_MAX or len(words) not in _PHRASE_WORDS:
        raise BadPhrase("a mnemonic has 12, 15, 18, 21 or 24 words; type all of them, with spaces between")
    joined = " ".join(words)
    if not bip39.bip39_validate(joined, "en"):
        raise BadPhrase("these words are no mnemonic: one is misspelt, missing or at a wrong place")
    return bytes(bip39.bip39_to_mini_secret(joined, "", "en"))
