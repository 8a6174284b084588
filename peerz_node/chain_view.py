"""What `chain status` and `chain export` read from a running chain."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, TypeGuard

from peerz_node.chain_rpc import ChainRpc
from peerz_node.errors import ChainFailed
from peerz_node.wallet.amounts import printable

_PAGE = 500
_HASH = re.compile("0x[0-9a-f]{64}")
_KEY = re.compile("0x(?:[0-9a-f]{2}){1,512}")


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """How a chain is doing."""

    url: str
    name: str
    genesis_hash: str
    best_number: int
    best_hash: str
    finalised_number: int
    finalised_hash: str
    spec_name: str
    spec_version: int
    pending: int

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.name} at {self.url}",
            f"  genesis    {self.genesis_hash}",
            f"  best       {self.best_number:>9,}  {self.best_hash}",
            f"  finalised  {self.finalised_number:>9,}  {self.finalised_hash}",
            f"  runtime    {self.spec_name} {self.spec_version}",
            f"  waiting    {self.pending} transactions",
        ]


def read_status(url: str) -> ChainStatus:
    """Asks the chain at `url`. Raises `ChainFailed`."""
    rpc = ChainRpc(url)
    best, final = _hash(rpc, "chain_getBlockHash"), _hash(rpc, "chain_getFinalizedHead")
    version = rpc.record("state_getRuntimeVersion")
    spec_version = version.get("specVersion")
    if not isinstance(spec_version, int):
        raise rpc.strange("state_getRuntimeVersion")
    return ChainStatus(
        url=url,
        name=printable(rpc.text("system_chain")),
        genesis_hash=_hash(rpc, "chain_getBlockHash", 0),
        best_number=_number(rpc, best),
        best_hash=best,
        finalised_number=_number(rpc, final),
        finalised_hash=final,
        spec_name=printable(str(version.get("specName"))),
        spec_version=spec_version,
        pending=len(rpc.items("author_pendingExtrinsics")),
    )


def _hash(rpc: ChainRpc, method: str, *params: object) -> str:
    """The hash that a call answers. Raises `ChainFailed`."""
    found = rpc.text(method, *params)
    if not _HASH.fullmatch(found):
        raise rpc.strange(method)
    return found


def _number(rpc: ChainRpc, block_hash: str) -> int:
    number = rpc.record("chain_getHeader", block_hash).get("number")
    try:
        return int(str(number), 16)
    except ValueError:
        raise rpc.strange("chain_getHeader") from None


def export_spec(url: str, at: str) -> dict[str, Any]:
    """The state of a block as a raw chain specification: a node that is given it begins with this state.

    `at` is `finalised`, `best`, or a block number. Raises `ChainFailed`.
    """
    rpc = ChainRpc(url)
    if at == "finalised":
        block_hash = _hash(rpc, "chain_getFinalizedHead")
    else:
        block_hash = _block_hash(rpc, None if at == "best" else int(at))
    top: dict[str, str] = {}
    after: str | None = None
    while keys := rpc.items("state_getKeysPaged", None, _PAGE, after, block_hash):
        if not _follow(keys, after):
            raise rpc.strange("state_getKeysPaged")
        top.update(_values(rpc, keys, block_hash))
        after = keys[-1]
    name = printable(rpc.text("system_chain"))
    return {
        "name": name,
        "id": "_".join(name.lower().split()),
        "chainType": "Development",
        "bootNodes": [],
        "telemetryEndpoints": None,
        "protocolId": None,
        "properties": rpc.record("system_properties"),
        "genesis": {"raw": {"top": top, "childrenDefault": {}}},
    }


def _block_hash(rpc: ChainRpc, number: int | None) -> str:
    if number is not None and rpc.call("chain_getBlockHash", number) is None:
        raise ChainFailed(f"the chain has no block {number} yet; `peerz-node chain status` shows the best one")
    return _hash(rpc, "chain_getBlockHash", number)


def _follow(keys: list[object], after: str | None) -> TypeGuard[list[str]]:
    """Are these keys, each greater than the one before? Else pages would never end."""
    for key in keys:
        if not isinstance(key, str) or not _KEY.fullmatch(key) or (after is not None and key <= after):
            return False
        after = key
    return True


def _values(rpc: ChainRpc, keys: list[str], block_hash: str) -> dict[str, str]:
    answer = rpc.items("state_queryStorageAt", keys, block_hash)
    try:
        (entry,) = answer
        found = {key: value for key, value in entry["changes"] if value is not None}  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        raise rpc.strange("state_queryStorageAt") from None
    if found.keys() != set(keys):
        raise rpc.strange("state_queryStorageAt")
    return found
