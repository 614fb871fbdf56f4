"""When phones are online: exact answers by binary search in periodic intervals.

A pattern's slots are half-open, [start, end), sorted, and repeat every period; two slots that touch, also across the end of
the period, are one stay online. Times are virtual seconds, float64.
"""

from __future__ import annotations

import numba
import numpy as np

from mpifl.population.permutation import permuted
from mpifl.population.population import Phones


@numba.njit(cache=True)
def _place(phones: Phones, pattern: int, now: float) -> tuple[float, int]:
    """The start of the period that holds ``now``, and the last slot that began by then (offsets[pattern] - 1 if none)."""
    period = phones.period[pattern]
    turn = np.floor(now / period)
    if turn * period > now:  # the division rounded up across the border
        turn -= 1
    elif (turn + 1) * period <= now:
        turn += 1
    base = turn * period
    low, high = phones.offsets[pattern], phones.offsets[pattern + 1]
    while low < high:
        middle = (low + high) // 2
        if base + phones.start[middle] <= now:
            low = middle + 1
        else:
            high = middle
    return base, low - 1


@numba.njit(cache=True)
def online_until(phones: Phones, pattern: int, now: float) -> float:
    """The moment at which a phone that is online ``now`` goes offline: ``now`` if it is offline, infinity if never."""
    first, stop = phones.offsets[pattern], phones.offsets[pattern + 1]
    base, slot = _place(phones, pattern, now)
    if slot < first or base + phones.end[slot] <= now:
        return now
    for _ in range(stop - first):
        until = base + phones.end[slot]
        slot += 1
        if slot == stop:
            slot = first
            base += phones.period[pattern]
        if base + phones.start[slot] > until:
            return until
    return np.inf


@numba.njit(cache=True)
def next_online(phones: Phones, pattern: int, now: float) -> float:
    """The first moment from ``now`` on at which a phone is online; infinity if it never is."""
    first, stop = phones.offsets[pattern], phones.offsets[pattern + 1]
    if first == stop:
        return np.inf
    base, slot = _place(phones, pattern, now)
    if slot >= first and now < base + phones.end[slot]:
        return now
    if slot + 1 < stop:
        return base + phones.start[slot + 1]
    return base + phones.period[pattern] + phones.start[first]


@numba.njit(cache=True)
def longest_stay(phones: Phones, pattern: int) -> float:
    """Seconds of a pattern's longest stay online; infinity if it never goes offline, 0 if it never is online."""
    longest = 0.0
    for slot in range(phones.offsets[pattern], phones.offsets[pattern + 1]):
        longest = max(longest, online_until(phones, pattern, phones.start[slot]) - phones.start[slot])
    return longest


@numba.njit(cache=True)
def pattern_of(phones: Phones, client: int) -> int:
    """The availability pattern of a client."""
    return permuted(client, phones.size, phones.key) % len(phones.period)


@numba.njit(cache=True)
def first_online(phones: Phones, clients: int, now: float) -> float:
    """The first moment from ``now`` on at which anyone is online, in O(patterns) however many clients there are.

    With as many clients as phones every pattern has a client; with fewer, the clients are asked one by one.
    """
    soonest = np.inf
    if clients < phones.size:
        for client in range(clients):
            soonest = min(soonest, next_online(phones, pattern_of(phones, client), now))
    else:
        for pattern in range(len(phones.period)):
            soonest = min(soonest, next_online(phones, pattern, now))
    return soonest


@numba.njit(cache=True)
def draw_online(phones: Phones, clients: int, key: int, now: float, wanted: int) -> np.ndarray:
    """Up to ``wanted`` clients that are online ``now``, uniformly and without repeats, in the order drawn; int64.

    Walks the permutation of all clients named by ``key`` until enough are found: O(wanted / share online).
    """
    found = np.empty(min(wanted, clients), np.int64)
    count = 0
    for index in range(clients):
        if count == len(found):
            break
        client = permuted(index, clients, key)
        if online_until(phones, pattern_of(phones, client), now) > now:
            found[count] = client
            count += 1
    return found[:count]
