"""When phones are online: exact answers by binary search in periodic intervals.

A pattern's slots are half-open, [start, end), sorted, and repeat every period. A stay is a longest
interval in which a phone is online: slots that touch, also across the end of the period, are one
stay. Times are virtual seconds, float64.
"""

from __future__ import annotations

import numpy as np

from mpifl.clock.kernels.periodic import moment_of, place
from mpifl.kernels.compile import inner_kernel, kernel
from mpifl.kernels.permutation import permuted
from mpifl.population.phones import Phones, pattern_row, phone_of


@inner_kernel
def online_until(phones: Phones, pattern: int, now: float) -> float:
    """Return the end of a phone's stay: ``now`` if it is offline, infinity if it never ends."""
    if phones.always_online:
        return np.inf
    first = phones.offsets[pattern]
    stop = phones.offsets[pattern + 1]
    period = phones.period[pattern]

    cycle, slot = place(period, phones.start, first, stop, now)
    if slot < first or moment_of(period, cycle, phones.end[slot]) <= now:
        return now

    for _ in range(stop - first):
        until = moment_of(period, cycle, phones.end[slot])
        slot += 1
        if slot == stop:
            slot = first
            cycle += 1
        if moment_of(period, cycle, phones.start[slot]) > until:
            return until
    return np.inf


@inner_kernel
def next_online(phones: Phones, pattern: int, now: float) -> float:
    """Return the first moment from ``now`` on at which a phone is online; infinity if none."""
    if phones.always_online:
        return now
    first = phones.offsets[pattern]
    stop = phones.offsets[pattern + 1]
    period = phones.period[pattern]
    if first == stop:
        return np.inf

    cycle, slot = place(period, phones.start, first, stop, now)
    if slot >= first and now < moment_of(period, cycle, phones.end[slot]):
        return now

    for _ in range(2 * (stop - first)):
        slot += 1
        if slot == stop:
            slot = first
            cycle += 1
        opens = moment_of(period, cycle, phones.start[slot])
        # Else the slot is too short for a float of this size.
        if opens < moment_of(period, cycle, phones.end[slot]):
            return opens
    return np.inf


@inner_kernel
def _online_a_period(phones: Phones, pattern: int) -> float:
    """Return the seconds of all slots of a pattern."""
    total = 0.0
    for slot in range(phones.offsets[pattern], phones.offsets[pattern + 1]):
        total += phones.end[slot] - phones.start[slot]
    return total


@inner_kernel
def online_seconds(phones: Phones, pattern: int, begin: float, end: float) -> float:
    """Return how many of the seconds from ``begin`` to ``end`` a phone is online."""
    period = phones.period[pattern]
    total = 0.0
    now = begin

    whole_periods = np.floor((end - begin) / period)
    if whole_periods > 1:  # all but one of them at once
        total = (whole_periods - 1) * _online_a_period(phones, pattern)
        now = begin + (whole_periods - 1) * period

    while now < end:
        until = min(online_until(phones, pattern, now), end)
        if until > now:
            total += until - now
            now = until
        else:
            now = next_online(phones, pattern, now)
    return total


@inner_kernel
def resumed_until(phones: Phones, pattern: int, begin: float, seconds: float) -> float:
    """Return when a phone has been online for ``seconds`` (> 0) since ``begin``.

    Infinity if it never will.
    """
    period = phones.period[pattern]
    a_period = _online_a_period(phones, pattern)
    if a_period == 0.0:
        return np.inf

    now = begin
    left = seconds
    whole_periods = np.ceil(left / a_period) - 2
    if whole_periods > 0:  # at once
        now = now + whole_periods * period
        left = left - whole_periods * a_period

    while True:
        until = online_until(phones, pattern, now)
        if until - now >= left:
            return now + left
        left -= until - now
        now = next_online(phones, pattern, until)


@inner_kernel
def after_pauses(phones: Phones, pattern: int, begin: float, seconds: float) -> float:
    """Return ``begin`` where there is nothing to do, else what ``resumed_until`` does."""
    return resumed_until(phones, pattern, begin, seconds) if seconds > 0 else begin


@inner_kernel
def longest_stay(phones: Phones, pattern: int) -> float:
    """Return the seconds of a pattern's longest stay.

    Infinity if it never goes offline, 0 if it never is online.
    """
    longest = np.inf if phones.always_online else 0.0
    for slot in range(phones.offsets[pattern], phones.offsets[pattern + 1]):
        stay = online_until(phones, pattern, phones.start[slot]) - phones.start[slot]
        longest = max(longest, stay)
    return longest


@inner_kernel
def pattern_of(phones: Phones, client: int) -> int:
    """Return the availability pattern of a client."""
    return pattern_row(phones, phone_of(phones, client))


@kernel
def count_online(phones: Phones, clients: int, key: int, now: float, sample: int) -> float:
    """Return how many clients are online ``now``.

    Counted when there are at most ``sample`` clients, else estimated from ``sample`` drawn ones.
    """
    tested = min(clients, sample)
    online = 0
    patterns = len(phones.period)

    # Each pattern is tested once, where there are fewer patterns than clients.
    pattern_online = np.empty(patterns if patterns < tested else 0, np.bool_)
    for pattern in range(len(pattern_online)):
        pattern_online[pattern] = online_until(phones, pattern, now) > now

    for index in range(tested):
        client = index if tested == clients else permuted(index, clients, key)
        pattern = pattern_of(phones, client)
        if patterns < tested:
            online += pattern_online[pattern]
        else:
            online += online_until(phones, pattern, now) > now
    return online * clients / tested
