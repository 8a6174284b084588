"""Addresses as people type them, checked before anything slow starts. Multiaddresses, the notation of libp2p."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from compute.identity import public_key_of
from compute.types import PeerId

EXAMPLE_PEER = "/ip4/192.0.2.7/tcp/31337/p2p/12D3Koo..."
EXAMPLE_LISTEN = "/ip4/0.0.0.0/tcp/31337"
EXAMPLE_CHAIN = "ws://127.0.0.1:9944"

_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]{40,64}")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})")
_NAMES = frozenset({"dns", "dns4", "dns6"})


def check_peer_address(text: str) -> str:
    """`text`, if it can be a running node's address. Raises ValueError, with what to write instead."""
    parts = _checked_host(text, EXAMPLE_PEER)
    if len(parts) < 2 or parts[-2] != "p2p":
        raise ValueError(
            f"{text!r} does not end with /p2p/ and a peer id; write it as the node printed it: {EXAMPLE_PEER}"
        )
    if not _BASE58.fullmatch(parts[-1]):
        raise ValueError(f"{parts[-1]!r} is no peer id; write the address as the node printed it: {EXAMPLE_PEER}")
    return text


def check_listen_address(text: str) -> str:
    """`text`, if one can listen there: on TCP, at an address in numbers. Raises ValueError, with what to write."""
    parts = _checked_host(text, EXAMPLE_LISTEN)
    if "p2p" in parts:
        raise ValueError(f"{text!r} names a peer; to listen, write an address and a port: {EXAMPLE_LISTEN}")
    if parts[0] in _NAMES:
        raise ValueError(f"{text!r} is a name; to listen, write an address in numbers: {EXAMPLE_LISTEN}")
    if parts[2:] != ["tcp", parts[3]]:
        raise ValueError(f"{'/'.join(parts[2:])} in {text!r}: nodes listen on plain TCP only; write {EXAMPLE_LISTEN}")
    return text


def check_peer_id(text: str) -> PeerId:
    """`text`, if it is the peer id of a node or client. Raises ValueError, with how to get one."""
    try:
        public_key_of(PeerId(text))
    except ValueError:
        raise ValueError(f"{text!r} is no peer id; `peerz-node identity` prints one, 12D3Koo...") from None
    return PeerId(text)


def check_chain_url(text: str) -> str:
    """`text`, if it can be the URL of a chain's JSON-RPC. Raises ValueError, with what to write instead."""
    wrong = ValueError(f"{text!r} is no URL of a chain; write for example {EXAMPLE_CHAIN}")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.username is not None:
        raise wrong
    return text


def _checked_host(text: str, example: str) -> list[str]:
    parts = text.split("/")[1:]
    if not text.startswith("/") or len(parts) < 4 or "" in parts:
        raise ValueError(f"{text!r} is no address of libp2p; write for example {example}")
    kind, host, transport, port = parts[:4]
    if not _is_host(kind, host):
        raise ValueError(f"{host!r} is no {kind} address; write for example {example}")
    if transport not in ("tcp", "udp") or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"{transport}/{port} in {text!r} is no transport with a port; write for example {example}")
    return parts


def _is_host(kind: str, host: str) -> bool:
    if kind in _NAMES:
        return _HOST_NAME.fullmatch(host) is not None
    try:
        return {"ip4": 4, "ip6": 6}.get(kind) == ipaddress.ip_address(host).version
    except ValueError:
        return False
