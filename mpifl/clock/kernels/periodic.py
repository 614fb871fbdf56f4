"""Moments in what repeats every period from second 0 on: where they lie, and the one float that each border is.

Times are virtual seconds, float64.
"""

from __future__ import annotations

import numpy as np

from mpifl.kernels.compile import inner_kernel


@inner_kernel
def moment_of(period: float, turn: float, second: float) -> float:
    """The virtual second at which ``second`` of period number ``turn`` is: the one float that every kernel knows it by."""
    border = (turn + 1) * period
    return border if second >= period else min(turn * period + second, border)


@inner_kernel
def place(period: float, start: np.ndarray, first: int, stop: int, now: float) -> tuple[float, int]:
    """The number of the period that holds ``now``, and the last of start[first:stop] that began by then (first - 1 if none).

    ``start`` are rising seconds into the period.
    """
    turn = np.floor(now / period)
    if turn * period > now:  # the division rounded up across the border
        turn -= 1
    elif (turn + 1) * period <= now:
        turn += 1
    second = now - turn * period
    low, size = first, stop - first
    while (
        size > 0
    ):  # halves what is left without a branch on what it finds, which no processor could foresee
        half = (size + 1) // 2
        low = low + half if start[low + half - 1] <= second else low
        size -= half
    while (
        low < stop and moment_of(period, turn, start[low]) <= now
    ):  # one whose moment is rounded down to now
        low += 1
    return turn, low - 1


@inner_kernel
def common_period(one: float, other: float) -> float:
    """The least common multiple of two periods, by Euclid's algorithm, which is exact in floats (Knuth, section 4.5.2)."""
    larger, smaller = one, other
    while smaller > 0:
        larger, smaller = smaller, larger % smaller
    return one / larger * other
