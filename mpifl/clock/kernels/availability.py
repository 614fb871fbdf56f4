"""When phones are online: exact answers by binary search in periodic intervals.

A pattern's slots are half-open, [start, end), sorted, and repeat every period; two slots that touch, also across the end of
the period, are one stay online. Times are virtual seconds, float64.
"""

from __future__ import annotations

import numpy as np

from mpifl.clock.kernels.periodic import moment_of, place
from mpifl.kernels.compile import inner_kernel, kernel
from mpifl.kernels.permutation import permuted
from mpifl.population.population import Phones


@inner_kernel
def online_until(phones: Phones, pattern: int, now: float) -> float:
    """The moment at which a phone that is online ``now`` goes offline: ``now`` if it is offline, infinity if never."""
    if phones.always_online:
        return np.inf
    first, stop, period = (
        phones.offsets[pattern],
        phones.offsets[pattern + 1],
        phones.period[pattern],
    )
    turn, slot = place(period, phones.start, first, stop, now)
    if slot < first or moment_of(period, turn, phones.end[slot]) <= now:
        return now
    for _ in range(stop - first):
        until = moment_of(period, turn, phones.end[slot])
        slot += 1
        if slot == stop:
            slot = first
            turn += 1
        if moment_of(period, turn, phones.start[slot]) > until:
            return until
    return np.inf


@inner_kernel
def next_online(phones: Phones, pattern: int, now: float) -> float:
    """The first moment from ``now`` on at which a phone is online; infinity if it never is."""
    if phones.always_online:
        return now
    first, stop, period = (
        phones.offsets[pattern],
        phones.offsets[pattern + 1],
        phones.period[pattern],
    )
    if first == stop:
        return np.inf
    turn, slot = place(period, phones.start, first, stop, now)
    if slot >= first and now < moment_of(period, turn, phones.end[slot]):
        return now
    for _ in range(2 * (stop - first)):
        slot += 1
        if slot == stop:
            slot = first
            turn += 1
        opens = moment_of(period, turn, phones.start[slot])
        if opens < moment_of(
            period, turn, phones.end[slot]
        ):  # else too short for a float of this size
            return opens
    return np.inf


@inner_kernel
def _online_a_period(phones: Phones, pattern: int) -> float:
    """Seconds of all slots of a pattern."""
    total = 0.0
    for slot in range(phones.offsets[pattern], phones.offsets[pattern + 1]):
        total += phones.end[slot] - phones.start[slot]
    return total


@inner_kernel
def online_seconds(phones: Phones, pattern: int, begin: float, end: float) -> float:
    """How many of the seconds from ``begin`` to ``end`` a phone is online."""
    period = phones.period[pattern]
    total, now = 0.0, begin
    turns = np.floor((end - begin) / period)
    if turns > 1:  # whole periods at once
        total, now = (turns - 1) * _online_a_period(phones, pattern), begin + (turns - 1) * period
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
    """The moment at which a phone has been online for ``seconds`` (> 0) since ``begin``; infinity if it never will."""
    period = phones.period[pattern]
    once = _online_a_period(phones, pattern)
    if once == 0.0:
        return np.inf
    now, left = begin, seconds
    turns = np.ceil(left / once) - 2
    if turns > 0:  # whole periods at once
        now, left = now + turns * period, left - turns * once
    while True:
        until = online_until(phones, pattern, now)
        if until - now >= left:
            return now + left
        left -= until - now
        now = next_online(phones, pattern, until)


@inner_kernel
def longest_stay(phones: Phones, pattern: int) -> float:
    """Seconds of a pattern's longest stay online; infinity if it never goes offline, 0 if it never is online."""
    longest = np.inf if phones.always_online else 0.0
    for slot in range(phones.offsets[pattern], phones.offsets[pattern + 1]):
        longest = max(
            longest, online_until(phones, pattern, phones.start[slot]) - phones.start[slot]
        )
    return longest


@inner_kernel
def pattern_of(phones: Phones, client: int) -> int:
    """The availability pattern of a client."""
    return permuted(client, phones.size, phones.key) % len(phones.period)


@kernel
def count_online(phones: Phones, clients: int, key: int, now: float, sample: int) -> float:
    """How many clients are online ``now``: counted up to ``sample`` clients, beyond that estimated from so many drawn."""
    tested, online, patterns = min(clients, sample), 0, len(phones.period)
    there = np.empty(
        patterns if patterns < tested else 0, np.bool_
    )  # each pattern once, where there are fewer
    for pattern in range(len(there)):
        there[pattern] = online_until(phones, pattern, now) > now
    for index in range(tested):
        client = index if tested == clients else permuted(index, clients, key)
        pattern = pattern_of(phones, client)
        online += there[pattern] if patterns < tested else online_until(phones, pattern, now) > now
    return online * clients / tested
