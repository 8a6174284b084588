"""`system_*`: what the node says of itself. Needs no chain thread but for the height."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from chain_client.devchain.rpc.backend import Backend, Method
from chain_client.devchain.rpc.params import Params

CHAIN_NAME = "Peerz Development"
NODE_NAME = "peerz-node"
PROPERTIES = {"ss58Format": 42, "tokenDecimals": 12, "tokenSymbol": "PRZ"}


def _package_version() -> str:
    try:
        return version("peerz")
    except PackageNotFoundError:
        return "0"


FACTS: dict[str, object] = {
    "system_name": NODE_NAME,
    "system_version": _package_version(),
    "system_chain": CHAIN_NAME,
    "system_chainType": "Development",
    "system_properties": PROPERTIES,
    "system_health": {"peers": 0, "isSyncing": False, "shouldHavePeers": False},
    "system_peers": [],
    "system_nodeRoles": ["Authority"],
    "system_localPeerId": "",
    "system_localListenAddresses": [],
}
"""Answers that never change; a chain without peers has no peer id and no addresses for them."""


def _sync_state(backend: Backend, params: Params) -> object:
    number = backend.chain.head.number
    return {"startingBlock": 0, "currentBlock": number, "highestBlock": number}


METHODS: dict[str, Method] = {"system_syncState": _sync_state}
