"""Calls of a chain's JSON-RPC for commands that ask a few questions and end: HTTP, one request at a time."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from urllib.parse import urlsplit, urlunsplit

from peerz_node.errors import ChainFailed, ChainUnreachable

DEFAULT_PORT = 9944
DEFAULT_CHAIN = f"ws://127.0.0.1:{DEFAULT_PORT}"
_TIMEOUT_S = 30.0
_ANSWER_BYTES_MAX = 32 << 20
_HTTP = {"ws": "http", "wss": "https"}


class ChainRpc:
    """The chain at `url` (`ws://` or `wss://`). Every method raises `ChainFailed`."""

    def __init__(self, url: str) -> None:
        self._shown = url
        parts = urlsplit(url)
        self._url = urlunsplit(parts._replace(scheme=_HTTP[parts.scheme], path=parts.path or "/"))
        # A proxy of the environment is for the web, not for a chain.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, *params: object) -> object:
        """The result of one call."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as response:
                data = response.read(_ANSWER_BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            raise ChainFailed(f"{self._shown} answers {error.code} {error.reason}; is it a chain?") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise ChainUnreachable(
                f"no chain answers at {self._shown} ({reason}); start one: peerz-node chain run"
            ) from None
        return self._result(method, data)

    def _result(self, method: str, data: bytes) -> object:
        try:
            answer = json.loads(data) if len(data) <= _ANSWER_BYTES_MAX else None
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise ChainFailed(f"{self._shown} does not answer in JSON-RPC; is it a chain?")
        error = answer.get("error")
        if error is not None:
            message = error.get("message") if isinstance(error, dict) else error
            raise ChainFailed(f"the chain refuses {method}: {str(message)[:400]}")
        return answer.get("result")

    def text(self, method: str, *params: object) -> str:
        """The result of one call, which must be a string."""
        result = self.call(method, *params)
        if not isinstance(result, str):
            raise self.strange(method)
        return result

    def record(self, method: str, *params: object) -> dict[str, object]:
        """The result of one call, which must be an object."""
        result = self.call(method, *params)
        if not isinstance(result, dict):
            raise self.strange(method)
        return result

    def items(self, method: str, *params: object) -> list[object]:
        """The result of one call, which must be a list."""
        result = self.call(method, *params)
        if not isinstance(result, list):
            raise self.strange(method)
        return result

    def strange(self, method: str) -> ChainFailed:
        """The error for a result of the wrong form."""
        return ChainFailed(f"{self._shown} answers {method} with something else than a chain does")
