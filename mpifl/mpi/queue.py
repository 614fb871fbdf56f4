"""The shared queue: rank 0 hands out tickets, executors ask for the next one while they are at the last.

By messages and not by one-sided operations: those need rank 0 to make progress anyway when there is a network between, and are
not sound once a rank has died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from mpi4py import MPI

from mpifl.errors import SilentRank
from mpifl.mpi.world import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, World

ASK, GIVE, DONE = 1, 2, 3
"""Tags of messages: an executor wants a ticket, gets one, has done all that it got."""

SERVER_PAUSE_GROWTH = 1.2
"""Of rank 0's pauses: it looks more rarely than who has nothing else to do, for executors may be on its core."""

MANY_TICKETS = 5
TAIL_TICKETS = 2
"""How many of the last tickets there are for each executor that nobody asks for before being free."""


def own_tickets(count: int, executors: int) -> int:
    """How many of the first tickets nobody asks for: one or two of each executor."""
    return min(count, 2 * executors if count >= MANY_TICKETS * executors else executors)


class Queue:
    """Hands out 0 to count - 1 once each among all executors, to whoever is free.

    Between two uses lies a broadcast of rank 0: it keeps one who is done from asking into the round that others are still at.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._nothing = np.empty(0, np.uint8)
        self._ticket = np.empty(1, np.int64)  # kept here: MPI may write into it until the answer has come or the run is over

    def tickets(self, count: int) -> Iterator[int]:
        """This executor's share of 0 to count - 1; every executor goes through its share to the end. Alone: all of them.

        The first ones are its own, nobody has to be asked: two where there are many, so that rank 0 has time for what it does
        while the others are at them. It asks for the next one before it works on the last, so that no answer is waited for; but
        not when few are left. Tasks come largest first: whoever is at a large one would take a small one away from those that
        are free.
        """
        if self._world.size == 1:
            yield from range(count)
            return
        ahead_until = count - TAIL_TICKETS * self._world.executors
        own = range(self._world.rank - 1, own_tickets(count, self._world.executors), self._world.executors)
        answer = self._ask() if own and own[-1] < ahead_until else None
        yield from own
        ticket = self._answer(self._ask() if answer is None else answer)
        while ticket < count:
            answer = self._ask() if ticket < ahead_until else None
            yield ticket
            ticket = self._answer(self._ask() if answer is None else answer)
        with self._world.watch("idle"):
            self._world.wait(self._world.comm.Isend([self._nothing, MPI.BYTE], 0, DONE))

    def _ask(self) -> MPI.Request:
        with self._world.losses():
            answer = self._world.comm.Irecv(self._ticket, 0, GIVE)
            self._world.comm.Isend([self._nothing, MPI.BYTE], 0, ASK).Free()
        return answer

    def _answer(self, answer: MPI.Request) -> int:
        with self._world.watch("idle"):
            self._world.wait(answer)
        return int(self._ticket[0])

    def serve(self, count: int, meanwhile: Callable[[], None] | None = None) -> None:
        """Rank 0 among others: hand out 0 to count - 1 until every executor is done; do ``meanwhile`` when all have something.

        Raises RankLost, and SilentRank that names those from which nothing has come for the world's ``patience_seconds``.
        """
        comm, status, next_ticket = self._world.comm, MPI.Status(), own_tickets(count, self._world.executors)
        heard = dict.fromkeys(range(1, self._world.size), time.monotonic())
        pause = FIRST_PAUSE_SECONDS
        while heard:
            with self._world.losses():
                found = comm.Iprobe(MPI.ANY_SOURCE, MPI.ANY_TAG, status)
                if found:
                    source, tag = status.Get_source(), status.Get_tag()
                    comm.Recv([self._nothing, MPI.BYTE], source, tag)
                    if tag == DONE:
                        del heard[source]
                    else:
                        heard[source] = time.monotonic()
                        comm.Send(np.array([next_ticket]), source, GIVE)
                        next_ticket += 1
            if found:
                pause = FIRST_PAUSE_SECONDS
                continue
            if meanwhile is not None:
                meanwhile()
                meanwhile = None
                continue
            self._world.check()
            self._check_time(heard)
            time.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * SERVER_PAUSE_GROWTH)

    def _check_time(self, heard: dict[int, float]) -> None:
        patience, now = self._world.patience_seconds, time.monotonic()
        if patience is not None and (silent := [rank for rank, when in heard.items() if now - when > patience]):
            raise SilentRank(silent, patience)
