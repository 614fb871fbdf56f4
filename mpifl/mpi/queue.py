"""The shared queue: rank 0 hands out tickets, executors ask for the next one while they are at the last.

By messages and not by one-sided operations: those need rank 0 to make progress anyway when there is a network between, and are
not sound once a rank has died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from mpi4py import MPI

from mpifl.errors import RankTimeout
from mpifl.mpi.world import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, World

ASK, GIVE, DONE = 1, 2, 3
"""Tags of messages: an executor wants a ticket, gets one, has done all that it got."""

SERVER_PAUSE_GROWTH = 1.2
"""Of rank 0's pauses: it looks more rarely than who has nothing else to do, for executors may be on its core."""

OWN_SHARE = 2 / 3
TAIL_TICKETS = 2
"""How many of the last tickets there are for each executor that nobody asks for before being free."""


def own_tickets(work: np.ndarray, executors: int) -> np.ndarray:
    """Whose the tickets are that nobody asks for, (tickets,) int64: the executor's number from 0 on; -1 for the others.

    ``work`` (tickets,) is what each is expected to take, in any unit, the largest first. They are dealt out there and back
    until an executor has OWN_SHARE of the mean: who is half as slow again as expected is still done with its own in time.
    """
    numbers = np.arange(len(work))
    rows, places = np.divmod(numbers, executors)
    owner = np.where(rows % 2, executors - 1 - places, places)
    dealt = np.zeros((-(-len(work) // executors), executors))
    dealt[rows, owner] = work
    enough = np.cumsum(dealt, axis=0)[rows, owner] >= OWN_SHARE * work.sum() / executors
    return np.where(enough & (rows > 0), -1, owner)


class Queue:
    """Hands out tickets, 0 to count - 1, once each among all executors: some are an executor's own, the others for who is free.

    All are told the same ``work`` (count,), see ``own_tickets``.

    Between two uses lies a broadcast of rank 0: it keeps one who is done from asking into the round that others are still at.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._nothing = np.empty(0, np.uint8)
        self._ticket = np.empty(
            1, np.int64
        )  # kept here: MPI may write into it until the answer has come or the run is over

    def tickets(self, work: np.ndarray) -> Iterator[int]:
        """This executor's share; every executor goes through its share to the end. Alone: all of them.

        Its own come first, and rank 0 has time meanwhile for what it does. It asks for the next one before it works on the
        last, so that no answer is waited for; but not when few are left: whoever is at a large one would take a small one away
        from those that are free.
        """
        count = len(work)
        if self._world.size == 1:
            yield from range(count)
            return
        ahead_until = count - TAIL_TICKETS * self._world.executors
        own = np.flatnonzero(
            own_tickets(work, self._world.executors) == self._world.rank - 1
        ).tolist()
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

    def serve(self, work: np.ndarray, meanwhile: Callable[[], None] | None = None) -> None:
        """Rank 0 among others: hand out what is nobody's own until every executor is done; do ``meanwhile`` when nobody asks.

        Raises RankLost, and RankTimeout that names those from which nothing has come for the world's ``patience_seconds``.
        """
        comm, status = self._world.comm, MPI.Status()
        left = iter(np.flatnonzero(own_tickets(work, self._world.executors) < 0).tolist())
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
                        comm.Send(np.array([next(left, len(work))]), source, GIVE)
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
        if patience is not None and (
            silent := [rank for rank, when in heard.items() if now - when > patience]
        ):
            raise RankTimeout(silent, patience)
