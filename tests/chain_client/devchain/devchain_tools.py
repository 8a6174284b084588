"""Signed extrinsics and storage keys made by hand, so that no client library is between."""

from collections.abc import Callable
from dataclasses import dataclass

import sr25519  # type: ignore[import-untyped]
from substrateinterface import Keypair  # type: ignore[import-untyped]

from chain_client.devchain.chain import Chain
from chain_client.devchain.hashing import blake2_128, blake2_256, twox_128
from chain_client.devchain.scale import byte_vector, compact, sequence
from chain_client.devchain.trie import Trie

START_MS = 1_700_000_000_000
UNIT = 10**12


@dataclass(frozen=True)
class Account:
    """A development account that signs extrinsics of format 4."""

    public: bytes
    secret: bytes

    @classmethod
    def of(cls, uri: str) -> "Account":
        pair = Keypair.create_from_uri(uri)
        return cls(bytes(pair.public_key), bytes(pair.private_key))

    def sign(self, chain: Chain, call: bytes, nonce: int, tip: int = 0) -> bytes:
        """A signed extrinsic that never expires."""
        runtime = chain.runtime_at(chain.head.hash)
        # Extensions with bytes: mortality (immortal), nonce, tip, and where the runtime has it the metadata hash (off).
        metadata_hash = b"\0" if b"CheckMetadataHash" in runtime.metadata else b""
        extra = b"\0" + compact(nonce) + compact(tip) + metadata_hash
        implicit = (
            runtime.version.spec_version.to_bytes(4, "little")
            + runtime.version.transaction_version.to_bytes(4, "little")
            + chain.genesis_hash * 2
            + metadata_hash
        )
        payload = call + extra + implicit
        signature = sr25519.sign((self.public, self.secret), payload if len(payload) <= 256 else blake2_256(payload))
        return byte_vector(b"\x84\0" + self.public + b"\1" + signature + extra + call)


ALICE, BOB, CHARLIE = (Account.of(f"//{name}") for name in ("Alice", "Bob", "Charlie"))


def transfer_call(to: bytes, value: int) -> bytes:
    """`Balances.transfer_keep_alive`."""
    return b"\x0a\3\0" + to + compact(value)


def remark_call(text: bytes) -> bytes:
    """`System.remark_with_event`."""
    return b"\0\7" + byte_vector(text)


def kill_storage_call(key: bytes) -> bytes:
    """`System.kill_storage` of one key."""
    return b"\0\5" + sequence([byte_vector(key)])


def sudo_call(call: bytes) -> bytes:
    """`Sudo.sudo`."""
    return b"\x1e\0" + call


def account_key(public: bytes) -> bytes:
    """The storage key of `System.Account`."""
    return twox_128(b"System") + twox_128(b"Account") + blake2_128(public) + public


def nonce_of(state: Trie, public: bytes) -> int:
    return int.from_bytes((state.get(account_key(public)) or bytes(4))[:4], "little")


def free_of(state: Trie, public: bytes) -> int:
    return int.from_bytes((state.get(account_key(public)) or bytes(80))[16:32], "little")


class Clock:
    """Milliseconds that only the test moves."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


NewChain = Callable[..., Chain]
