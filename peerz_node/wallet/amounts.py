"""Amounts of PRZ, roles' shares and bars, as people write and read them. Integers inside, exactly."""

from __future__ import annotations

import re
from collections.abc import Mapping

from chain_client.consensus import BPS, PPM
from chain_client.types import PRZ

_DIGITS = 12
_AMOUNT = re.compile(r"([0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4})(?:\.([0-9]{1,12}))?(?: ?PRZ)?")
_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?%?")
_FULL, _PARTS = "█", " ▏▎▍▌▋▊▉"


def parse_amount(text: str) -> int:
    """`12.5`, `12.5PRZ` or `1,012.5` in the smallest unit. Raises ValueError.

    A comma stands between thousands and nowhere else: who writes `12,5` must not send 125.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no amount; write PRZ as in 12.5 (at most {_DIGITS} digits behind the point)")
    return int(match[1].replace(",", "")) * PRZ + int((match[2] or "").ljust(_DIGITS, "0"))


def format_amount(amount: int) -> str:
    """An amount in PRZ for people, exactly: `1,012.5 PRZ`."""
    whole, point, behind = plain_amount(amount).partition(".")
    return f"{int(whole):,}{point}{behind} PRZ"


def plain_amount(amount: int) -> str:
    """An amount in PRZ as an option takes it, exactly: `1012.5`."""
    whole, rest = divmod(amount, PRZ)
    return f"{whole}.{rest:0{_DIGITS}d}".rstrip("0").rstrip(".")


def parse_shares(text: str, roles: Mapping[str, int]) -> dict[int, int]:
    """`compute=60,validator=40` in basis points by role. `roles`: ids by name. Raises ValueError."""
    shares: dict[int, int] = {}
    for part in text.split(","):
        name, equals, percent = (piece.strip() for piece in part.partition("="))
        match = _PERCENT.fullmatch(percent)
        if not equals or match is None:
            raise ValueError(f"{part.strip()!r} is no share; write as in compute=60,validator=20,model=10,developer=10")
        if name not in roles:
            raise ValueError(f"there is no role {name!r}; the roles are {', '.join(roles)}")
        if roles[name] in shares:
            raise ValueError(f"{name} is named twice")
        shares[roles[name]] = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
    total = sum(shares.values())
    if total != BPS:
        raise ValueError(f"the shares sum to {total / 100:g}, not to 100")
    return {role: share for role, share in shares.items() if share}


def percent(ppm: int, digits: int = 2) -> str:
    """Parts per million as a percentage."""
    return f"{ppm * 100 / PPM:.{digits}f} %"


def bar(part: int, whole: int, width: int) -> str:
    """A bar of `width` characters at most, in eighths of one."""
    eighths = 0 if whole <= 0 else round(min(part, whole) * width * 8 / whole)
    full, rest = divmod(eighths, 8)
    return (_FULL * full + _PARTS[rest]).strip()


def printable(text: str) -> str:
    """A text from the chain without what would move a terminal's cursor."""
    return "".join(char if char.isprintable() else "?" for char in text)[:64]
