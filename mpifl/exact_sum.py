"""Weighted sums of updates that come out the same in any order: 64-bit fixed point.

Each term is ``round(weight * value * 2**FRACTION_BITS)`` as int64. Integer addition is associative, so any split over
ranks and any order gives the same bits; a floating-point sum does not. A term that is not finite, or so large that a sum of
``terms`` such terms might overflow, is refused: nothing wraps around.
"""

from __future__ import annotations

import numba
import numpy as np

FRACTION_BITS = 40
"""A unit is 2**-40 = 9.1e-13: rounding moves a mean by less than half of that per participant."""


@numba.njit(cache=True)
def _accumulate(total: np.ndarray, values: np.ndarray, factor: float, limit: float) -> bool:
    """Add round(values * factor) to total; False, and total is spoiled, when a term is not below limit (NaN is not)."""
    wrong = 0
    for i in range(len(values)):
        term = np.rint(values[i] * factor)
        wrong |= not (abs(term) < limit)
        total[i] += np.int64(term)
    return wrong == 0


def term_limit(terms: int) -> float:
    """The size, in units, below which a term must be so that ``terms`` of them cannot overflow an int64."""
    return float(2**62 // max(1, terms))


def accumulate(total: np.ndarray, values: np.ndarray, weight: float, terms: int) -> int | None:
    """Add ``weight * values`` to the running sum ``total``.

    total (n,) int64, values (n,) float32, weight finite. ``terms`` bounds how many such additions the whole sum has, on all
    ranks together. Returns None, or the index of the first value that is not finite or does not fit; then the sum is spoiled.
    """
    factor, limit = float(weight) * 2.0**FRACTION_BITS, term_limit(terms)
    if _accumulate(total, values, factor, limit):
        return None
    with np.errstate(invalid="ignore"):
        return int(np.argmax(~(np.abs(np.rint(values.astype(np.float64) * factor)) < limit)))


def to_fixed(value: float) -> int:
    """One number in units of the sum."""
    return round(value * 2.0**FRACTION_BITS)


def from_fixed(total: np.ndarray) -> np.ndarray:
    """The sum as float64."""
    return total.astype(np.float64) * 2.0**-FRACTION_BITS
