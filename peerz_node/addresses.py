"""Addresses as people type them, checked before anything slow starts. Multiaddresses, the notation of libp2p."""

from __future__ import annotations

import ipaddress
import re

EXAMPLE_PEER = "/ip4/192.0.2.7/tcp/31337/p2p/12D3Koo..."
EXAMPLE_LISTEN = "/ip4/0.0.0.0/tcp/31337"

_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]{40,64}")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})")
_NAMES = frozenset({"dns", "dns4", "dns6", "dnsaddr"})


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
    """`text`, if one can listen there. Raises ValueError, with what to write instead."""
    parts = _checked_host(text, EXAMPLE_LISTEN)
    if "p2p" in parts:
        raise ValueError(f"{text!r} names a peer; to listen, write an address and a port: {EXAMPLE_LISTEN}")
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
