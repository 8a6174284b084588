"""Headers, blocks, versions and fees in the JSON that clients expect."""

from __future__ import annotations

from chain_client.devchain.header import Block, Header
from chain_client.devchain.rpc.params import to_hex
from chain_client.devchain.runtime import RuntimeVersion
from chain_client.devchain.scale import Reader

_CLASSES = ("normal", "operational", "mandatory")
_BALANCE_BYTES = 16


def header_json(header: Header) -> dict[str, object]:
    """A header."""
    return {
        "parentHash": to_hex(header.parent_hash),
        "number": hex(header.number),
        "stateRoot": to_hex(header.state_root),
        "extrinsicsRoot": to_hex(header.extrinsics_root),
        "digest": {"logs": [to_hex(item.encoded()) for item in header.digest]},
    }


def block_json(block: Block) -> dict[str, object]:
    """A block with the (absent) justifications."""
    extrinsics = [to_hex(extrinsic) for extrinsic in block.extrinsics]
    return {"block": {"header": header_json(block.header), "extrinsics": extrinsics}, "justifications": None}


def version_json(version: RuntimeVersion) -> dict[str, object]:
    """A runtime's version."""
    return {
        "specName": version.spec_name,
        "implName": version.impl_name,
        "authoringVersion": version.authoring_version,
        "specVersion": version.spec_version,
        "implVersion": version.impl_version,
        "apis": [[to_hex(identifier), number] for identifier, number in version.apis],
        "transactionVersion": version.transaction_version,
        "systemVersion": version.system_version,
        "stateVersion": version.state_version,
    }


def dispatch_info_json(data: bytes) -> dict[str, object]:
    """SCALE `RuntimeDispatchInfo`. Raises `ScaleError`."""
    reader = Reader(data)
    weight = {"ref_time": reader.compact(), "proof_size": reader.compact()}
    kind = reader.integer(1)
    fee = reader.integer(_BALANCE_BYTES)
    reader.end()
    return {"weight": weight, "class": _CLASSES[min(kind, len(_CLASSES) - 1)], "partialFee": str(fee)}


def fee_details_json(data: bytes) -> dict[str, object]:
    """SCALE `FeeDetails`. Raises `ScaleError`."""
    reader = Reader(data)
    inclusion = None
    if reader.boolean():
        names = ("baseFee", "lenFee", "adjustedWeightFee")
        inclusion = {name: hex(reader.integer(_BALANCE_BYTES)) for name in names}
    return {"inclusionFee": inclusion}
