"""Who is online, found in time that depends on those found: not on the population, nor on the patterns of a large trace.

An index of availability patterns follows the clock. It knows which are online at one moment and when each changes next. Going
on to a later moment costs as much as changes by then. It is a cache: what it answers depends on the question alone.
"""

from __future__ import annotations

import math

import numpy as np

from mpifl.clock.kernels.online_patterns import (
    CLOSES,
    Patterns,
    left_out,
    members_of,
    next_opening,
    online_of,
    pass_on,
    patterns_at,
    places,
    unpark,
    walk,
)
from mpifl.population.population import Population

NOBODY = np.empty(0, np.int64)
DRAWS_A_CLIENT, MOST_DRAWS = (
    8,
    256,
)  # looked at for each client that is wanted, and on top, before the index is asked
DRAWS_A_MEMBER = 4  # that take as long as finding one client who is online by the index
FEW = 1024  # clients that are free and online: so many, or the square root of all clients, are kept in a list


class OnlineIndex:
    """Questions about the clients of a population that are online, at any moment, each leaving out clients that are busy.

    ``busy`` are sorted int64, and must not change afterwards. Questions about moments that follow each other are cheap.
    """

    def __init__(self, population: Population) -> None:
        self._phones, self._clients = population.phones, population.clients
        self._patterns: Patterns | None = None
        self._now = math.inf  # the moment of what is kept below, and who was busy then
        self._busy = NOBODY
        self._free: np.ndarray | None = (
            None  # all who are online and not busy, sorted; kept while they are few
        )
        self._scarce = False  # whether the last draw would have taken too long without the index
        self._debt = 0.0  # draws that went on all the same

    def draw(self, key: int, now: float, wanted: int, busy: np.ndarray) -> np.ndarray:
        """Up to ``wanted`` clients that are online ``now`` and not ``busy``, uniformly, without repeats, in the order drawn.

        The order is that of the permutation of all clients named by ``key``: of those who are online, so far as there are
        enough of them by walking it, else by sorting them all by their places in it.
        """
        wanted, walked = min(wanted, self._clients - len(busy)), (NOBODY, 0)
        if wanted <= 0:
            return NOBODY
        if not self._scarce:
            walked = self._walk(
                key, now, wanted, busy, walked, DRAWS_A_CLIENT * wanted + MOST_DRAWS
            )
            if len(walked[0]) == wanted or walked[1] == self._clients:
                return walked[0]
        patterns = self._follow(now, busy)
        if self._free is None and self._walk_is_cheaper(wanted, int(patterns.online[0]), len(busy)):
            return self._walk(key, now, wanted, busy, walked, self._clients)[0]
        free = self._all_free(patterns) if self._free is None else self._free
        self._scarce = self._is_scarce(wanted, len(free))
        self._free = free if self._is_few(len(free)) else None
        found: np.ndarray = free[np.argsort(places(free, self._clients, key))[:wanted]]
        return found

    def anyone(self, now: float, busy: np.ndarray) -> bool:
        """Whether any client that is not ``busy`` is online."""
        return len(self.draw(0, now, 1, busy)) > 0

    def next_opening(self, now: float, busy: np.ndarray) -> float:
        """The first moment after ``now`` at which a client comes online that is not ``busy`` now; infinity if there is none."""
        patterns = self._follow(now, busy)
        return next_opening(self._phones, self._clients, patterns, busy)

    def _walk(
        self,
        key: int,
        now: float,
        wanted: int,
        busy: np.ndarray,
        walked: tuple[np.ndarray, int],
        draws: int,
    ) -> tuple[np.ndarray, int]:
        """Go on from ``walked``, who was found and how many draws it took, until it is ``wanted`` or so many ``draws``."""
        found, begin = walked
        end = min(self._clients, draws)
        more, reached = walk(
            self._phones, self._clients, key, now, wanted - len(found), busy, begin, end
        )
        return (np.concatenate([found, more]) if len(found) else more), reached

    def _walk_is_cheaper(self, wanted: int, online: int, busy: int) -> bool:
        """Whether to go on walking until ``wanted`` are found, or to find all who are online.

        Walks go on until together they have cost as much as that: it may well make a list that spares all walks to come.
        """
        free = online - busy  # at the least
        self._debt += wanted * self._clients / free if free >= wanted else math.inf
        if self._debt <= DRAWS_A_MEMBER * online:
            self._scarce = self._is_scarce(wanted, free)
            return True
        self._debt = 0.0
        return False

    def _is_scarce(self, wanted: int, free: int) -> bool:
        return wanted * self._clients > (DRAWS_A_CLIENT * wanted + MOST_DRAWS) * free

    def _is_few(self, free: int) -> bool:
        return free <= FEW or free * free <= self._clients

    def _follow(self, now: float, busy: np.ndarray) -> Patterns:
        """The index at ``now``, and what is kept besides."""
        patterns, opened = self._patterns, NOBODY
        if patterns is None or now < self._now:
            patterns = self._patterns = patterns_at(self._phones, self._clients, now)
            self._free = None
        else:
            opened = pass_on(self._phones, patterns, now)
            freed = NOBODY if busy is self._busy else left_out(self._busy, busy)
            unpark(self._phones, patterns, freed)
            if self._free is not None:
                self._free = self._still_free(patterns, opened, freed, busy)
        self._now, self._busy = now, busy
        return patterns

    def _still_free(
        self, patterns: Patterns, opened: np.ndarray, freed: np.ndarray, busy: np.ndarray
    ) -> np.ndarray | None:
        """Who is free and online, from who was: without those who are not any more, with those freed and those who came."""
        assert self._free is not None
        new = int(patterns.members[opened].sum())
        if not self._is_few(new + len(self._free)):
            return None
        came = members_of(self._phones, self._clients, opened, new, busy)
        stayed = online_of(self._phones, patterns, np.concatenate([self._free, freed]), busy)
        return np.unique(np.concatenate([stayed, came]))

    def _all_free(self, patterns: Patterns) -> np.ndarray:
        online = patterns.heaps.items[CLOSES, : patterns.heaps.sizes[CLOSES]]
        return np.sort(
            members_of(self._phones, self._clients, online, int(patterns.online[0]), self._busy)
        )


def online_index(population: Population) -> OnlineIndex:
    """The one index of a population."""
    index = population.notes.get("online")
    if not isinstance(index, OnlineIndex):
        index = population.notes["online"] = OnlineIndex(population)
    return index
