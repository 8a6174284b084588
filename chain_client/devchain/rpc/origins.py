"""Whose pages may talk to the chain: those of this machine.

A web page from elsewhere can make its reader's browser send requests to 127.0.0.1. Browsers say in `Origin` where a
page is from, and in `Host` which name it used: a foreign one means a foreign page, or one that rebound its own name.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Does this name or address stand for this machine alone?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local_origin(origin: str) -> bool:
    """Is a page of this origin one of this machine?"""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")


def is_loopback_authority(authority: str) -> bool:
    """Does a `Host` header (name and perhaps port) name this machine?"""
    try:
        return is_loopback(urlsplit(f"//{authority}").hostname or "")
    except ValueError:
        return False
