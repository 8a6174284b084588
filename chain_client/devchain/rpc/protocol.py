"""JSON-RPC 2.0 messages: bytes in, calls out; results in, bytes out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from chain_client.devchain.rpc.errors import (
    BATCH_RESPONSE_TOO_LARGE,
    BATCH_TOO_LONG,
    INVALID_REQUEST,
    PARSE_ERROR,
    RpcError,
    invalid_params,
    oversized_response,
)
from chain_client.devchain.rpc.params import Params

Id = str | int | float | None
_VERSION = "2.0"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a message. A notification wants no answer."""

    id: Id
    method: str
    params: Params
    is_notification: bool = False


@dataclass(frozen=True, slots=True)
class BadCall:
    """Something in the place of a call that is none."""

    id: Id
    error: RpcError


@dataclass(frozen=True, slots=True)
class Message:
    """The calls of one message, and whether they came as a batch."""

    calls: tuple[Call | BadCall, ...]
    is_batch: bool


def parse(data: bytes | str, batch_max: int) -> Message:
    """The calls in `data`. Raises `RpcError` when the message as a whole cannot be answered call by call."""
    try:
        content = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise RpcError(PARSE_ERROR, "Parse error") from None
    if not isinstance(content, list):
        return Message((_call(content),), is_batch=False)
    if not content:
        raise RpcError(INVALID_REQUEST, "Invalid request", "an empty batch")
    if len(content) > batch_max:
        raise RpcError(BATCH_TOO_LONG, "The batch request was too large", f"Exceeded max limit of {batch_max}")
    return Message(tuple(_call(item) for item in content), is_batch=True)


def _call(item: object) -> Call | BadCall:
    if not isinstance(item, dict):
        return BadCall(None, RpcError(INVALID_REQUEST, "Invalid request"))
    id_, method, params = item.get("id"), item.get("method"), item.get("params")
    if isinstance(id_, bool) or not isinstance(id_, str | int | float | None):
        return BadCall(None, RpcError(INVALID_REQUEST, "Invalid request", "an id is a string, a number or null"))
    if item.get("jsonrpc") != _VERSION or not isinstance(method, str):
        return BadCall(id_, RpcError(INVALID_REQUEST, "Invalid request"))
    if not isinstance(params, list | None):
        return BadCall(id_, invalid_params("parameters are given by position, in a list"))
    return Call(id_, method, Params(params or ()), "id" not in item)


def failure(id_: Id, error: RpcError) -> bytes:
    """A response that tells an error."""
    return msgspec.json.encode({"jsonrpc": _VERSION, "error": error.as_json(), "id": id_})


def success(id_: Id, result: object, bytes_max: int) -> bytes:
    """A response with a result, or with an error when it would be longer than `bytes_max`."""
    response = msgspec.json.encode({"jsonrpc": _VERSION, "result": result, "id": id_})
    return response if len(response) <= bytes_max else failure(id_, oversized_response(bytes_max))


def batch(responses: Sequence[bytes], bytes_max: int) -> bytes:
    """The response to a batch."""
    if sum(map(len, responses)) > bytes_max:
        detail = f"Exceeded max limit of {bytes_max}"
        return failure(None, RpcError(BATCH_RESPONSE_TOO_LARGE, "The batch response was too large", detail))
    return b"[" + b",".join(responses) + b"]"


def notification(method: str, subscription: str, result: object) -> bytes:
    """A message to a subscriber."""
    params = {"subscription": subscription, "result": result}
    return msgspec.json.encode({"jsonrpc": _VERSION, "method": method, "params": params})
