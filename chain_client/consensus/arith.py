"""Integer arithmetic that saturates where the chain's does: fractions, square-free products, smoothing."""

from __future__ import annotations

from typing import Final

from chain_client.consensus import BPS, PPM

U32_MAX: Final = 2**32 - 1
U64_MAX: Final = 2**64 - 1
U128_MAX: Final = 2**128 - 1


def u32(value: int) -> int:
    return min(value, U32_MAX)


def u128(value: int) -> int:
    return min(value, U128_MAX)


def mul_div(a: int, b: int, d: int) -> int:
    """`floor(a * b / d)`, saturating at 128 bits; the largest value for `d = 0`."""
    return u128(a * b // d) if d else U128_MAX


def of_ppm(value: int, parts: int) -> int:
    """`floor(value * parts / 1_000_000)`."""
    return mul_div(value, parts, PPM)


def of_bps(value: int, parts: int) -> int:
    """`floor(value * parts / 10_000)`."""
    return mul_div(value, parts, BPS)


def ratio_ppm(part: int, whole: int) -> int:
    """`floor(part * 1_000_000 / whole)`, saturating at 32 bits; zero for an empty whole."""
    return u32(part * PPM // whole) if whole else 0


def smooth(previous: int, sample: int, span: int) -> int:
    """One step of an exponential moving average with factor `1 / span`, rounded away from `previous`.

    A constant sample is reached exactly. A span of zero counts as one.
    """
    span = max(span, 1)
    step = -(-abs(sample - previous) // span)
    return previous + step if sample > previous else previous - step
