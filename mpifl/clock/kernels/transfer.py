"""How long a phone's own radio takes for a transfer: at its device's constant speed, or along a curve of bandwidth over time.

A curve's segments are half-open and repeat every period, as slots of availability do. What it has carried since the period
began stands ready at each point, so that a transfer is two binary searches however many points and periods it crosses. Sizes
are kbit, times virtual seconds, float64.
"""

from __future__ import annotations

import numpy as np

from mpifl.clock.kernels.availability import next_online, online_until
from mpifl.clock.kernels.periodic import common_period, moment_of, place
from mpifl.kernels.compile import constant, inner_kernel
from mpifl.population.population import Phones

DOWN, UP = constant(0), constant(1)


@inner_kernel
def has_curves(phones: Phones) -> bool:
    """Whether speeds change over time."""
    return len(phones.curves.period) > 0


@inner_kernel
def _device_kbps(phones: Phones, phone: int, direction: int) -> float:
    device = phone % len(phones.download_kbps)
    return phones.download_kbps[device] if direction == DOWN else phones.upload_kbps[device]


@inner_kernel
def best_kbps(phones: Phones, phone: int, direction: int) -> float:
    """The highest speed that a phone ever has."""
    if has_curves(phones):
        return phones.curves.peak_kbps[direction, phone % len(phones.curves.period)]
    return _device_kbps(phones, phone, direction)


@inner_kernel
def speed_from(phones: Phones, phone: int, direction: int, now: float) -> tuple[float, float]:
    """A phone's speed ``now``, kbit/s, and the moment (> now) at which its curve's next segment begins; infinity if never."""
    if not has_curves(phones):
        return _device_kbps(phones, phone, direction), np.inf
    curve, turn, point, until = _segment(phones, phone, now)
    kbps, period = phones.curves.kbps[direction, point], phones.curves.period[curve]
    alone = phones.curves.offsets[curve + 1] - phones.curves.offsets[curve] == 1
    return kbps, np.inf if alone else moment_of(period, turn, until)


@inner_kernel
def _segment(phones: Phones, phone: int, now: float) -> tuple[int, float, int, float]:
    """A phone's curve, the number of the period that holds ``now``, the segment's point and its last second in the period."""
    curves, curve = phones.curves, phone % len(phones.curves.period)
    stop, period = curves.offsets[curve + 1], curves.period[curve]
    turn, point = place(period, curves.start, curves.offsets[curve], stop, now)
    return curve, turn, point, curves.start[point + 1] if point + 1 < stop else period


@inner_kernel
def constant_seconds(
    phones: Phones, phone: int, direction: int, size: int, bits_per_kbit: float
) -> float:
    """Seconds for ``size`` bytes at the constant speed of a phone's device: 8 bytes / (bits_per_kbit kbit/s)."""
    return size * 8 / (bits_per_kbit * _device_kbps(phones, phone, direction))


@inner_kernel
def curve_seconds(phones: Phones, phone: int, direction: int, begin: float, kbit: float) -> float:
    """Seconds until ``kbit`` are carried by a phone with a curve that is at work from ``begin`` on without a pause."""
    if kbit == 0:
        return 0.0
    curves = phones.curves
    curve, turn, point, until = _segment(phones, phone, begin)
    period, once = curves.period[curve], curves.period_kbit[direction, curve]
    second, kbps = begin - turn * period, curves.kbps[direction, point]
    if kbit <= kbps * (until - second):
        return kbit / kbps
    goal = curves.kbit[direction, point] + kbps * (second - curves.start[point]) + kbit
    turns = max(
        np.ceil(goal / once) - 1, 0.0
    )  # whole periods at once; the rest is above 0, for the first moment counts
    rest = goal - turns * once
    if rest <= 0:  # the division rounded up
        turns, rest = turns - 1, rest + once
    rest = min(rest, once)
    first, stop = curves.offsets[curve], curves.offsets[curve + 1]
    point = _last_below(curves.kbit[direction], first, stop, rest)
    until = curves.start[point + 1] if point + 1 < stop else period
    finish = (
        curves.start[point] + (rest - curves.kbit[direction, point]) / curves.kbps[direction, point]
    )
    return max(turns * period + (min(finish, until) - second), 0.0)


@inner_kernel
def _last_below(kbit: np.ndarray, first: int, stop: int, rest: float) -> int:
    """The last of the points first to stop - 1 by which less than ``rest`` (> 0) was carried; by the first it was 0."""
    low, high = first, stop
    while high - low > 1:
        middle = (low + high) // 2
        if kbit[middle] < rest:
            low = middle
        else:
            high = middle
    return low


@inner_kernel
def carried(phones: Phones, phone: int, direction: int, begin: float, end: float) -> float:
    """The kbit that a phone with a curve carries that is at work from ``begin`` to ``end`` (>= begin) without a pause."""
    curves = phones.curves
    curve, turn, point, _ = _segment(phones, phone, begin)
    _, last_turn, last, _ = _segment(phones, phone, end)
    if turn == last_turn and point == last:
        return curves.kbps[direction, point] * (end - begin)
    period = curves.period[curve]
    before = curves.kbit[direction, point] + curves.kbps[direction, point] * (
        begin - turn * period - curves.start[point]
    )
    after = curves.kbit[direction, last] + curves.kbps[direction, last] * (
        end - last_turn * period - curves.start[last]
    )
    return max((last_turn - turn) * curves.period_kbit[direction, curve] + after - before, 0.0)


@inner_kernel
def paused_transfer(
    phones: Phones, phone: int, direction: int, begin: float, kbit: float, end: float
) -> tuple[float, float]:
    """With a curve, carrying nothing while offline: when ``kbit`` are carried, or ``end`` if that is sooner; kbit by then.

    Walks the phone's stays online. Once its availability and its curve have come round together, whole such rounds are taken
    at once. The moment is ``end``, be it infinity, where the curve carries nothing whenever the phone is online.
    """
    pattern = phone % len(phones.period)
    cycle = common_period(
        phones.period[pattern], phones.curves.period[phone % len(phones.curves.period)]
    )
    now, left, mark = begin, kbit, begin + cycle
    while left > 0 and now < end:
        stay = online_until(phones, pattern, now)
        until = min(stay, end) if stay == np.inf else min(stay, end, mark)
        here = carried(phones, phone, direction, now, until) if until < np.inf else np.inf
        if here >= left:
            return min(now + curve_seconds(phones, phone, direction, now, left), until), kbit
        left -= here
        now = next_online(phones, pattern, until)
        if now >= mark:
            once = kbit - left
            if once <= 0:
                break
            turns = max(min(np.ceil(left / once) - 2, np.floor((end - now) / cycle)), 0.0)
            now, left, mark = now + turns * cycle, left - turns * once, np.inf
    return begin if kbit == 0 else end, kbit - left
