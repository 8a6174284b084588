"""`chain_*`, `engine_*` and `dev_*`: blocks, sealing by hand, time travel."""

from __future__ import annotations

import re

from chain_client.devchain.errors import StateUnavailable
from chain_client.devchain.header import Header
from chain_client.devchain.rpc.backend import Backend, Method
from chain_client.devchain.rpc.errors import BLOCK_NOT_FOUND, EMPTY_POOL, RpcError, invalid_params
from chain_client.devchain.rpc.forms import block_json, header_json
from chain_client.devchain.rpc.params import Params, to_hex

_HEX_NUMBER = re.compile("0x[0-9a-fA-F]{1,16}")
_NUMBER_MAX = (1 << 32) - 1
_NUMBERS_MAX = 1000
_ADVANCE_MS_MAX = 366 * 24 * 3_600_000


def _header(backend: Backend, params: Params) -> object:
    try:
        return header_json(backend.chain.block(backend.hash_or_head(params, 0)).header)
    except StateUnavailable:
        return None


def _block(backend: Backend, params: Params) -> object:
    try:
        return block_json(backend.chain.block(backend.hash_or_head(params, 0)))
    except StateUnavailable:
        return None


def _block_hash(backend: Backend, params: Params) -> object:
    asked = params.get(0)
    if asked is None:
        return to_hex(backend.chain.head.hash)
    if not isinstance(asked, list):
        return _hash_of(backend, asked)
    if len(asked) > _NUMBERS_MAX:
        raise params.wrong(0, f"at most {_NUMBERS_MAX} numbers")
    return [_hash_of(backend, number) for number in asked]


def _hash_of(backend: Backend, asked: object) -> str | None:
    """The hash of a block by its number, which may be written in hexadecimal."""
    number = asked
    if isinstance(asked, str) and _HEX_NUMBER.fullmatch(asked):
        number = int(asked, 16)
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise invalid_params("a block number is wanted")
    block_hash = backend.chain.hash_at(number) if number <= _NUMBER_MAX else None
    return None if block_hash is None else to_hex(block_hash)


def _finalised_head(backend: Backend, params: Params) -> object:
    return to_hex(backend.chain.finalised)


def _known(backend: Backend, block_hash: bytes) -> Header:
    try:
        return backend.chain.block(block_hash).header
    except StateUnavailable as error:
        raise RpcError(BLOCK_NOT_FOUND, "BlockNotFound", str(error)) from None


def _create_block(backend: Backend, params: Params) -> object:
    """`engine_createBlock(create_empty, finalize, parent_hash)`; the parent can only be the head."""
    create_empty, finalise = params.boolean(0), params.boolean(1)
    parent = params.hash_or_none(2)
    if parent is not None and _known(backend, parent).hash != backend.chain.head.hash:
        raise invalid_params("blocks are only built upon the head: there are no forks here")
    authored = backend.seal(finalise=finalise, create_empty=create_empty)
    if authored is None:
        raise RpcError(EMPTY_POOL, "Transaction pool is empty, set create_empty to true, if you want empty blocks")
    aux = {
        "header_only": False,
        "clear_justification_requests": False,
        "needs_justification": False,
        "bad_justification": False,
        "is_new_best": True,
    }
    return {"hash": to_hex(authored.block.header.hash), "aux": aux}


def _finalise_block(backend: Backend, params: Params) -> object:
    backend.finalise(_known(backend, params.hash(0)).number)
    return True


def _advance_time(backend: Backend, params: Params) -> object:
    """`dev_advanceTime(milliseconds)`: the time for the next block, in milliseconds since the epoch."""
    backend.chain.advance(params.integer(0, _ADVANCE_MS_MAX))
    return backend.chain.now_ms()


def _time(backend: Backend, params: Params) -> object:
    return backend.chain.now_ms()


METHODS: dict[str, Method] = {
    "chain_getHeader": _header,
    "chain_getBlock": _block,
    "chain_getBlockHash": _block_hash,
    "chain_getHead": _block_hash,
    "chain_getFinalizedHead": _finalised_head,
    "chain_getFinalisedHead": _finalised_head,
}
UNSAFE_METHODS: dict[str, Method] = {
    "engine_createBlock": _create_block,
    "engine_finalizeBlock": _finalise_block,
    "dev_advanceTime": _advance_time,
    "dev_time": _time,
}
"""For clients of this machine only."""
