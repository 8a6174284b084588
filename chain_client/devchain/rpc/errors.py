"""Errors as JSON-RPC tells them, with the codes that polkadot-sdk's nodes use.

-32700 .. -32600 are those of the JSON-RPC 2.0 specification, -32000 .. -32011 and -32999 those of the nodes' RPC
server, 1000 .. those of `author_*`, 4000 .. of `state_*`, 10000 .. of `engine_*`.
"""

from __future__ import annotations

from chain_client.devchain.errors import BlockError, DevchainError, PoolError, RuntimeFailure, StateUnavailable

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
CALL_FAILED = -32000
TOO_MANY_SUBSCRIPTIONS = -32006
OVERSIZED_REQUEST = -32007
OVERSIZED_RESPONSE = -32008
BATCH_TOO_LONG = -32010
BATCH_RESPONSE_TOO_LARGE = -32011
RATE_EXCEEDED = -32999
INVALID_COUNT = 4002
STATE_CLIENT = 4003
EMPTY_POOL = 12_000
BLOCK_NOT_FOUND = 13_000
SEAL_FAILED = 20_000


class RpcError(Exception):
    """What a call is answered with instead of a result. `data` is a short detail or None."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def as_json(self) -> dict[str, object]:
        """The `error` member of a response."""
        plain: dict[str, object] = {"code": self.code, "message": self.message}
        if self.data is not None:
            plain["data"] = self.data
        return plain


def invalid_params(detail: str) -> RpcError:
    """Parameters that do not fit the method."""
    return RpcError(INVALID_PARAMS, "Invalid params", detail)


def oversized_response(limit: int) -> RpcError:
    """An answer that would be longer than `limit` bytes."""
    return RpcError(OVERSIZED_RESPONSE, "Response is too big", f"Exceeded max limit of {limit}")


def rpc_error(error: DevchainError) -> RpcError:
    """An error of the chain as a client sees it."""
    if isinstance(error, PoolError):
        return RpcError(error.code, error.title, error.data)
    if isinstance(error, StateUnavailable):
        return RpcError(STATE_CLIENT, f"Client error: UnknownBlock: {error}")
    if isinstance(error, RuntimeFailure):
        return RpcError(STATE_CLIENT, f"Client error: Execution failed: {error}")
    if isinstance(error, BlockError):
        return RpcError(SEAL_FAILED, str(error))
    return RpcError(CALL_FAILED, str(error))
