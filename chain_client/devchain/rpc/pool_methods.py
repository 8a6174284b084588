"""`author_*` and the nonce: transactions on their way into a block."""

from __future__ import annotations

from hashlib import blake2b

import base58

from chain_client.devchain.rpc.backend import Backend, Method
from chain_client.devchain.rpc.params import Params, from_hex, to_hex

_ACCOUNT_BYTES = 32
_CHECKSUM_BYTES = 2
_ADDRESS_LENGTH_MAX = 60


def account_of(text: str) -> bytes:
    """The account (32 bytes) of an SS58 address of any network, or of its hexadecimal form. Raises ValueError."""
    if text.startswith("0x"):
        account = from_hex(text)
    else:
        raw = base58.b58decode(text) if len(text) <= _ADDRESS_LENGTH_MAX else b""
        # The first byte tells whether the network's number takes one byte or two.
        body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
        if not body or blake2b(b"SS58PRE" + body).digest()[:_CHECKSUM_BYTES] != checksum:
            raise ValueError("no address")
        account = body[2 if body[0] & 0x40 else 1 :]
    if len(account) != _ACCOUNT_BYTES:
        raise ValueError("no address of an account")
    return account


def _submit(backend: Backend, params: Params) -> object:
    return to_hex(backend.author.submit(params.data(0)))


def _pending(backend: Backend, params: Params) -> object:
    return [to_hex(transaction) for transaction in backend.author.pool.pending()]


def _next_index(backend: Backend, params: Params) -> object:
    try:
        account = account_of(params.text(0))
    except ValueError as error:
        raise params.wrong(0, str(error)) from None
    return backend.author.next_nonce(account)


METHODS: dict[str, Method] = {
    "author_submitExtrinsic": _submit,
    "author_pendingExtrinsics": _pending,
    "system_accountNextIndex": _next_index,
    "account_nextIndex": _next_index,
}
