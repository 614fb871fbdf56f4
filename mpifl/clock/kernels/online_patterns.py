"""The kernels of ``online``: an index of availability patterns, and a walk through clients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpifl.clock.kernels.availability import next_online, online_until, pattern_of
from mpifl.clock.kernels.heaps import Heaps, least, put, take
from mpifl.kernels.compile import constant, inner_kernel, kernel
from mpifl.kernels.permutation import inverse_permuted, permuted
from mpifl.population.phones import Phones, client_of_pattern, phones_of_pattern

OPENS, PARKED, CLOSES = (constant(heap) for heap in range(3))
"""Heaps of patterns.

OPENS: by the start of their next stay, where some client is free. PARKED: the same, where all
clients are busy. CLOSES: those that are online, by the end of their stay."""


class Patterns(NamedTuple):
    """The index at one moment.

    ``members`` (patterns,) int64 are the clients of each pattern, ``online`` (1,) int64 the clients
    online in all. A pattern that no client has is in no heap.
    """

    heaps: Heaps
    members: np.ndarray
    online: np.ndarray


@inner_kernel
def is_in(busy: np.ndarray, client: int) -> bool:
    """Return whether a sorted array has a client."""
    low = 0
    size = len(busy)

    while size > 0:
        half = (size + 1) // 2
        low = low + half if busy[low + half - 1] < client else low
        size -= half
    return low < len(busy) and busy[low] == client


@kernel
def may_be_asked(phones: Phones, clients: np.ndarray, now: float, busy: np.ndarray) -> np.ndarray:
    """Return which of ``clients`` (n,) int64 are online ``now`` and not in ``busy`` (sorted)."""
    free = np.empty(len(clients), np.bool_)
    for index in range(len(clients)):
        client = clients[index]
        online = online_until(phones, pattern_of(phones, client), now) > now
        free[index] = online and not is_in(busy, client)
    return free


@kernel
def online_through(phones: Phones, clients: np.ndarray, begin: float, end: float) -> np.ndarray:
    """Return which of ``clients`` (n,) int64 are online from ``begin`` to ``end``, (n,) bool."""
    stays = np.empty(len(clients), np.bool_)
    for index in range(len(clients)):
        until = online_until(phones, pattern_of(phones, clients[index]), begin)
        stays[index] = until > begin and until >= end
    return stays


@kernel
def walk(
    phones: Phones,
    clients: int,
    key: int,
    now: float,
    wanted: int,
    busy: np.ndarray,
    begin: int,
    end: int,
) -> tuple[np.ndarray, int]:
    """Return up to ``wanted`` clients that are online and not busy, and the next draw.

    Looks at draws ``begin`` to ``end`` of all clients in the order named by ``key``. The clients
    are int64, in that order. The next draw is the one after the last that was looked at.
    """
    free = np.empty(wanted, np.int64)
    count = 0
    index = begin

    while index < end and count < wanted:
        client = permuted(index, clients, key)
        if online_until(phones, pattern_of(phones, client), now) > now and not is_in(busy, client):
            free[count] = client
            count += 1
        index += 1
    return free[:count], index


@kernel
def places(chosen: np.ndarray, clients: int, key: int) -> np.ndarray:
    """Return the draw (n,) int64 of each ``chosen`` client in the order named by ``key``."""
    drawn = np.empty(len(chosen), np.int64)
    for i in range(len(chosen)):
        drawn[i] = inverse_permuted(chosen[i], clients, key)
    return drawn


@kernel
def members_of(
    phones: Phones, clients: int, patterns: np.ndarray, most: int, busy: np.ndarray
) -> np.ndarray:
    """Return the clients of these patterns that are not busy; there are at most ``most``."""
    free = np.empty(most, np.int64)
    count = 0

    for pattern in patterns:
        for place in range(phones_of_pattern(phones, pattern)):
            client = client_of_pattern(phones, pattern, place)
            if client < clients and not is_in(busy, client):
                free[count] = client
                count += 1
    return free[:count]


@kernel
def online_of(
    phones: Phones, patterns: Patterns, among: np.ndarray, busy: np.ndarray
) -> np.ndarray:
    """Return those of ``among`` that are online at the moment of the index, and not busy."""
    free = np.empty(len(among), np.int64)
    count = 0

    for client in among:
        online = patterns.heaps.places[CLOSES, pattern_of(phones, client)] >= 0
        if online and not is_in(busy, client):
            free[count] = client
            count += 1
    return free[:count]


@kernel
def left_out(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the entries of one sorted array that are not in another."""
    missing = np.empty(len(before), np.int64)
    count = 0
    place = 0

    for client in before:
        while place < len(after) and after[place] < client:
            place += 1
        if place == len(after) or after[place] != client:
            missing[count] = client
            count += 1
    return missing[:count]


@kernel
def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the entries of two sorted arrays, sorted, each once."""
    both = np.empty(len(first) + len(second), np.int64)
    count = 0
    i = 0
    j = 0

    while i < len(first) or j < len(second):
        if j == len(second) or (i < len(first) and first[i] <= second[j]):
            entry = first[i]
            i += 1
        else:
            entry = second[j]
            j += 1
        if count == 0 or both[count - 1] != entry:
            both[count] = entry
            count += 1
    return both[:count]


@kernel
def patterns_at(phones: Phones, clients: int, now: float) -> Patterns:
    """Return a new index at ``now``.

    O(patterns), or O(clients) when there are more phones than clients.
    """
    patterns = len(phones.period)
    heaps = Heaps(
        np.empty((3, patterns)),
        np.empty((3, patterns), np.int64),
        np.full((3, patterns), -1),
        np.zeros(3, np.int64),
    )
    index = Patterns(heaps, np.zeros(patterns, np.int64), np.zeros(1, np.int64))

    if clients == phones.size:
        for pattern in range(patterns):
            index.members[pattern] = phones_of_pattern(phones, pattern)
    else:
        for client in range(clients):
            index.members[pattern_of(phones, client)] += 1

    for pattern in range(patterns):
        if index.members[pattern] > 0:
            _look(phones, index, pattern, now)
    return index


@kernel
def pass_on(phones: Phones, index: Patterns, now: float) -> np.ndarray:
    """Move the index to ``now``; return the patterns that were offline before and are online."""
    opened = [np.int64(0) for _ in range(0)]
    for heap in (OPENS, PARKED, CLOSES):
        while least(index.heaps, heap) <= now:
            pattern = index.heaps.items[heap, 0]
            if _look(phones, index, pattern, now):
                opened.append(pattern)
    return np.array(opened, np.int64)


@inner_kernel
def _look(phones: Phones, index: Patterns, pattern: int, now: float) -> bool:
    """Update a pattern's place in the heaps; return whether it is online and was not."""
    heaps = index.heaps
    until = online_until(phones, pattern, now)
    was_online = heaps.places[CLOSES, pattern] >= 0

    if until > now:
        put(heaps, CLOSES, pattern, until)
    elif was_online:
        take(heaps, CLOSES, pattern)
    if (until > now) != was_online:
        index.online[0] += -index.members[pattern] if was_online else index.members[pattern]

    opens = np.inf
    if until < np.inf:
        opens = next_online(phones, pattern, until)
    heap = PARKED if heaps.places[PARKED, pattern] >= 0 else OPENS
    if opens < np.inf:
        put(heaps, heap, pattern, opens)
    elif heaps.places[heap, pattern] >= 0:
        take(heaps, heap, pattern)
    return until > now and not was_online


@kernel
def unpark(phones: Phones, index: Patterns, freed: np.ndarray) -> None:
    """Move the patterns of clients that are not busy any more from PARKED to OPENS."""
    heaps = index.heaps
    for client in freed:
        pattern = pattern_of(phones, client)
        if heaps.places[PARKED, pattern] >= 0:
            take(heaps, PARKED, pattern)
            put(heaps, OPENS, pattern, heaps.keys[PARKED, pattern])


@kernel
def next_opening(phones: Phones, clients: int, index: Patterns, busy: np.ndarray) -> float:
    """Return when a pattern next comes online that has a client who is not busy.

    Patterns that have none are moved to PARKED. Infinity if no pattern is left.
    """
    heaps = index.heaps
    while heaps.sizes[OPENS]:
        pattern = heaps.items[OPENS, 0]
        for place in range(phones_of_pattern(phones, pattern)):
            client = client_of_pattern(phones, pattern, place)
            if client < clients and not is_in(busy, client):
                return heaps.keys[OPENS, pattern]

        take(heaps, OPENS, pattern)
        put(heaps, PARKED, pattern, heaps.keys[OPENS, pattern])
    return np.inf
