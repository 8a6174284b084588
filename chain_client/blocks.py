"""Blocks as the library reads them. Everything here runs in the worker thread of a connection."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from substrateinterface import SubstrateInterface  # type: ignore[import-untyped]

from chain_client.decoding import decode
from chain_client.errors import MalformedAnswer
from chain_client.events import ChainEvent, read_events


def block_events(interface: SubstrateInterface, number: int, block_hash: str) -> tuple[ChainEvent, ...]:
    """The events of a block."""
    records = [record.value for record in interface.get_events(block_hash)]
    return read_events(number, decode(bytes, block_hash), records)


def position_in(interface: SubstrateInterface, block_hash: str, extrinsic_hash: bytes) -> int | None:
    """Where in the block an extrinsic is."""
    answer = interface.rpc_request("chain_getBlock", [block_hash])["result"]
    if not isinstance(answer, Mapping):
        raise MalformedAnswer("the node does not know a block that it has named itself")
    for index, extrinsic in enumerate(answer["block"]["extrinsics"]):
        if blake2b(decode(bytes, extrinsic), digest_size=32).digest() == extrinsic_hash:
            return index
    return None


def hash_at(interface: SubstrateInterface, number: int) -> str | None:
    """The hash of a block by its number."""
    found = interface.rpc_request("chain_getBlockHash", [number])["result"]
    return found if isinstance(found, str) else None


def head_number(interface: SubstrateInterface) -> int:
    """The number of the best block."""
    return int(interface.rpc_request("chain_getHeader", [])["result"]["number"], 16)


def final_number(interface: SubstrateInterface) -> int:
    """The number of the last final block."""
    final = interface.rpc_request("chain_getFinalizedHead", [])["result"]
    return int(interface.rpc_request("chain_getHeader", [final])["result"]["number"], 16)
