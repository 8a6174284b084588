"""`state_*` and `payment_*`: storage, runtime calls, metadata, fees."""

from __future__ import annotations

from itertools import islice

from chain_client.devchain.hashing import blake2_256
from chain_client.devchain.rpc.backend import Backend, Method
from chain_client.devchain.rpc.errors import INVALID_COUNT, RpcError, oversized_response
from chain_client.devchain.rpc.forms import dispatch_info_json, fee_details_json, version_json
from chain_client.devchain.rpc.params import Params, to_hex
from chain_client.devchain.trie import Trie

PAGE_MAX = 1000
KEYS_MAX = 4096
_COUNT_MAX = (1 << 32) - 1


def changes_json(state: Trie, keys: list[bytes], bytes_max: int) -> list[tuple[str, str | None]]:
    """Pairs of a key and its value. Raises `RpcError` when they are longer than `bytes_max` in hexadecimal."""
    pairs: list[tuple[str, str | None]] = []
    size = 0
    for key in keys:
        value = state.get(key)
        size += 2 * (len(key) + len(value or b""))
        if size > bytes_max:
            raise oversized_response(bytes_max)
        pairs.append((to_hex(key), None if value is None else to_hex(value)))
    return pairs


def _storage(backend: Backend, params: Params) -> object:
    value = backend.state(params, 1).get(params.data(0))
    return None if value is None else to_hex(value)


def _storage_hash(backend: Backend, params: Params) -> object:
    value = backend.state(params, 1).get(params.data(0))
    return None if value is None else to_hex(blake2_256(value))


def _storage_size(backend: Backend, params: Params) -> object:
    value = backend.state(params, 1).get(params.data(0))
    return None if value is None else len(value)


def _keys_paged(backend: Backend, params: Params) -> object:
    prefix, count, after = params.data_or_none(0), params.integer(1, _COUNT_MAX), params.data_or_none(2)
    if count > PAGE_MAX:
        raise RpcError(INVALID_COUNT, f"count exceeds maximum value. value: {count}, max: {PAGE_MAX}")
    found = backend.state(params, 3).items(prefix or b"", after)
    return [to_hex(key) for key, _ in islice(found, count)]


def _query_at(backend: Backend, params: Params) -> object:
    block_hash = backend.hash_or_head(params, 1)
    keys = params.keys(0, KEYS_MAX)
    pairs = changes_json(backend.chain.state_at(block_hash), keys, backend.response_bytes)
    return [{"block": to_hex(block_hash), "changes": pairs}]


def _call(backend: Backend, params: Params) -> object:
    return to_hex(backend.chain.call(params.text(0), params.data(1), params.hash_or_none(2)))


def _metadata(backend: Backend, params: Params) -> object:
    return to_hex(backend.runtime(params, 0).metadata)


def _version(backend: Backend, params: Params) -> object:
    return version_json(backend.runtime(params, 0).version)


def _fee_call(backend: Backend, params: Params, method: str) -> bytes:
    extrinsic = params.data(0)
    data = extrinsic + len(extrinsic).to_bytes(4, "little")
    return backend.chain.call(f"TransactionPaymentApi_{method}", data, params.hash_or_none(1))


def _query_info(backend: Backend, params: Params) -> object:
    return dispatch_info_json(_fee_call(backend, params, "query_info"))


def _query_fee_details(backend: Backend, params: Params) -> object:
    return fee_details_json(_fee_call(backend, params, "query_fee_details"))


METHODS: dict[str, Method] = {
    "state_getStorage": _storage,
    "state_getStorageAt": _storage,
    "state_getStorageHash": _storage_hash,
    "state_getStorageHashAt": _storage_hash,
    "state_getStorageSize": _storage_size,
    "state_getStorageSizeAt": _storage_size,
    "state_getKeysPaged": _keys_paged,
    "state_getKeysPagedAt": _keys_paged,
    "state_queryStorageAt": _query_at,
    "state_call": _call,
    "state_callAt": _call,
    "state_getMetadata": _metadata,
    "state_getRuntimeVersion": _version,
    "chain_getRuntimeVersion": _version,
    "payment_queryInfo": _query_info,
    "payment_queryFeeDetails": _query_fee_details,
}
