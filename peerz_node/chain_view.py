"""What `chain status` and `chain export` read from a running chain."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from peerz_node.chain_rpc import ChainRpc

_PAGE = 500
_HASH_HEX = 66


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
    best, final = rpc.text("chain_getBlockHash"), rpc.text("chain_getFinalizedHead")
    version = rpc.record("state_getRuntimeVersion")
    spec_version = version.get("specVersion")
    if not isinstance(spec_version, int):
        raise rpc.strange("state_getRuntimeVersion")
    return ChainStatus(
        url=url,
        name=rpc.text("system_chain"),
        genesis_hash=rpc.text("chain_getBlockHash", 0),
        best_number=_number(rpc, best),
        best_hash=best,
        finalised_number=_number(rpc, final),
        finalised_hash=final,
        spec_name=str(version.get("specName")),
        spec_version=spec_version,
        pending=len(rpc.items("author_pendingExtrinsics")),
    )


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
        block_hash = rpc.text("chain_getFinalizedHead")
    else:
        block_hash = rpc.text("chain_getBlockHash", None if at == "best" else int(at))
    top: dict[str, str] = {}
    after = None
    while True:
        keys = rpc.items("state_getKeysPaged", None, _PAGE, after, block_hash)
        if not keys:
            break
        top.update(_values(rpc, keys, block_hash))
        after = keys[-1]
    name = rpc.text("system_chain")
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


def _values(rpc: ChainRpc, keys: list[object], block_hash: str) -> dict[str, str]:
    answer = rpc.items("state_queryStorageAt", keys, block_hash)
    try:
        (entry,) = answer
        found = {key: value for key, value in entry["changes"] if value is not None}  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        raise rpc.strange("state_queryStorageAt") from None
    if found.keys() != set(keys):
        raise rpc.strange("state_queryStorageAt")
    return found
