"""The kernels of ``online``: an index of availability patterns, and clients found by it or by a walk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpifl.clock.kernels.availability import next_online, online_until, pattern_of
from mpifl.clock.kernels.heaps import Heaps, least, put, take
from mpifl.kernels.compile import constant, inner_kernel, kernel
from mpifl.kernels.permutation import inverse_permuted, permuted
from mpifl.population.population import Phones

OPENS, PARKED, CLOSES = (constant(heap) for heap in range(3))
"""Heaps of patterns: by their next stay's start, where some client is free; the same where all are busy; by this stay's end."""


class Patterns(NamedTuple):
    """The index at one moment. ``members`` (patterns,) int64 clients of each, ``online`` (1,) int64 clients online in all.

    CLOSES has the patterns that are online. A pattern that no client has is nowhere.
    """

    heaps: Heaps
    members: np.ndarray
    online: np.ndarray


@inner_kernel
def is_in(busy: np.ndarray, client: int) -> bool:
    """Whether a sorted array has a client."""
    low, size = 0, len(busy)
    while size > 0:
        half = (size + 1) // 2
        low = low + half if busy[low + half - 1] < client else low
        size -= half
    return low < len(busy) and busy[low] == client


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
    """Draws ``begin`` to ``end`` of all clients in the order named by ``key``: up to ``wanted`` who are online and not busy.

    Returns them (int64, in that order) and the draw after the last that was looked at.
    """
    found = np.empty(wanted, np.int64)
    count, index = 0, begin
    while index < end and count < wanted:
        client = permuted(index, clients, key)
        if online_until(phones, pattern_of(phones, client), now) > now and not is_in(busy, client):
            found[count] = client
            count += 1
        index += 1
    return found[:count], index


@kernel
def places(found: np.ndarray, clients: int, key: int) -> np.ndarray:
    """At which draw (n,) int64 of the order named by ``key`` each of these clients comes."""
    drawn = np.empty(len(found), np.int64)
    for i in range(len(found)):
        drawn[i] = inverse_permuted(found[i], clients, key)
    return drawn


@kernel
def members_of(
    phones: Phones, clients: int, patterns: np.ndarray, most: int, busy: np.ndarray
) -> np.ndarray:
    """The clients of these patterns that are not busy, ``most`` at the most."""
    found, count = np.empty(most, np.int64), 0
    for pattern in patterns:
        for phone in range(pattern, phones.size, len(phones.period)):
            client = inverse_permuted(phone, phones.size, phones.key)
            if client < clients and not is_in(busy, client):
                found[count] = client
                count += 1
    return found[:count]


@kernel
def online_of(
    phones: Phones, patterns: Patterns, among: np.ndarray, busy: np.ndarray
) -> np.ndarray:
    """Those of ``among`` who are online at the moment of the index, and not busy."""
    found, count = np.empty(len(among), np.int64), 0
    for client in among:
        if patterns.heaps.places[CLOSES, pattern_of(phones, client)] >= 0 and not is_in(
            busy, client
        ):
            found[count] = client
            count += 1
    return found[:count]


@kernel
def left_out(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """What of one sorted array is not in another."""
    found, count, place = np.empty(len(before), np.int64), 0, 0
    for client in before:
        while place < len(after) and after[place] < client:
            place += 1
        if place == len(after) or after[place] != client:
            found[count] = client
            count += 1
    return found[:count]


@kernel
def patterns_at(phones: Phones, clients: int, now: float) -> Patterns:
    """The index at ``now``, anew: O(patterns), or O(phones) when there are more phones than clients."""
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
            index.members[pattern] = (clients - pattern + patterns - 1) // patterns
    else:
        for client in range(clients):
            index.members[pattern_of(phones, client)] += 1
    for pattern in range(patterns):
        if index.members[pattern] > 0:
            _look(phones, index, pattern, now)
    return index


@kernel
def pass_on(phones: Phones, index: Patterns, now: float) -> np.ndarray:
    """Let time pass until ``now``; returns the patterns that have come online by then, and were not when it began."""
    opened = [np.int64(0) for _ in range(0)]
    for heap in (OPENS, PARKED, CLOSES):
        while least(index.heaps, heap) <= now:
            pattern = index.heaps.items[heap, 0]
            if _look(phones, index, pattern, now):
                opened.append(pattern)
    return np.array(opened, np.int64)


@inner_kernel
def _look(phones: Phones, index: Patterns, pattern: int, now: float) -> bool:
    """Set down whether a pattern is online and when it changes; returns whether it is and was not."""
    heaps, until = index.heaps, online_until(phones, pattern, now)
    was, opens = heaps.places[CLOSES, pattern] >= 0, np.inf
    if until > now:
        put(heaps, CLOSES, pattern, until)
    elif was:
        take(heaps, CLOSES, pattern)
    if (until > now) != was:
        index.online[0] += -index.members[pattern] if was else index.members[pattern]
    if until < np.inf:
        opens = next_online(phones, pattern, until)
    heap = PARKED if heaps.places[PARKED, pattern] >= 0 else OPENS
    if opens < np.inf:
        put(heaps, heap, pattern, opens)
    elif heaps.places[heap, pattern] >= 0:
        take(heaps, heap, pattern)
    return until > now and not was


@kernel
def unpark(phones: Phones, index: Patterns, freed: np.ndarray) -> None:
    """The patterns of these clients have somebody free again."""
    heaps = index.heaps
    for client in freed:
        pattern = pattern_of(phones, client)
        if heaps.places[PARKED, pattern] >= 0:
            take(heaps, PARKED, pattern)
            put(heaps, OPENS, pattern, heaps.keys[PARKED, pattern])


@kernel
def next_opening(phones: Phones, clients: int, index: Patterns, busy: np.ndarray) -> float:
    """When the next pattern comes online that has a client who is not busy; parks those that have none."""
    heaps = index.heaps
    while heaps.sizes[OPENS]:
        pattern = heaps.items[OPENS, 0]
        for phone in range(pattern, phones.size, len(phones.period)):
            client = inverse_permuted(phone, phones.size, phones.key)
            if client < clients and not is_in(busy, client):
                return heaps.keys[OPENS, pattern]
        take(heaps, OPENS, pattern)
        put(heaps, PARKED, pattern, heaps.keys[OPENS, pattern])
    return np.inf
