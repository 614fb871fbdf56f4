"""Moments in something that repeats every period from second 0 on.

Functions find the period and the entry that hold a moment, and give each border one float. Times
are virtual seconds, float64. ``cycle`` is the number of a period, from 0.
"""

from __future__ import annotations

import numpy as np

from mpifl.kernels.compile import inner_kernel


@inner_kernel
def moment_of(period: float, cycle: float, second: float) -> float:
    """Return the virtual second of ``second`` of period number ``cycle``.

    All kernels use this one float for the moment.
    """
    border = (cycle + 1) * period
    return border if second >= period else min(cycle * period + second, border)


@inner_kernel
def place(period: float, start: np.ndarray, first: int, stop: int, now: float) -> tuple[float, int]:
    """Return the number of the period that holds ``now``, and the entry of ``start`` that does.

    That is the last of start[first:stop] that began by ``now``, or first - 1 if none did. ``start``
    are rising seconds into the period.
    """
    cycle = np.floor(now / period)
    if cycle * period > now:  # the division rounded up across the border
        cycle -= 1
    elif (cycle + 1) * period <= now:
        cycle += 1

    # A bisection without a branch on the comparison, which no processor could predict.
    second = now - cycle * period
    low = first
    size = stop - first
    while size > 0:
        half = (size + 1) // 2
        low = low + half if start[low + half - 1] <= second else low
        size -= half

    # An entry whose moment is rounded down to now has begun as well.
    while low < stop and moment_of(period, cycle, start[low]) <= now:
        low += 1
    return cycle, low - 1


@inner_kernel
def common_period(one: float, other: float) -> float:
    """Return the least common multiple of two periods.

    By Euclid's algorithm, which is exact in floats (Knuth, section 4.5.2).
    """
    larger = one
    smaller = other
    while smaller > 0:
        larger, smaller = smaller, larger % smaller
    return one / larger * other
