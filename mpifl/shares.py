"""Shares of a count. The product of floats may just miss a whole number: 0.28 * 25 is above 7."""

from __future__ import annotations

import math

DIGITS = 9
"""Behind the decimal point of a product; what comes after them is rounding."""


def share_of(share: float, count: int) -> float:
    """Return share x count, the whole number where floats just miss one."""
    return round(share * count, DIGITS)


def floor_share(share: float, count: int) -> int:
    """Return floor(share x count)."""
    return math.floor(share_of(share, count))


def ceil_share(share: float, count: int) -> int:
    """Return ceil(share x count)."""
    return math.ceil(share_of(share, count))
