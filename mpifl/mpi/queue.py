"""The shared queue: a counter on rank 0 from which executors take tickets by one-sided Fetch_and_op."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mpi4py import MPI

from mpifl.mpi.world import World


class Queue:
    """Hands out 0, 1, 2, ... once each among all executors; making one is collective.

    The counter is never set back: every executor learns that a round is over from exactly one ticket beyond its end, so
    all of them know where the next round begins.
    """

    def __init__(self, world: World) -> None:
        self._executors = world.executors
        self._begin = 0
        self._one = np.ones(1, np.int64)
        self._ticket = np.zeros(1, np.int64)
        self._window = MPI.Win.Allocate(8 if world.aggregates else 0, 8, comm=world.comm)
        if world.aggregates:
            np.asarray(self._window.tomemory().cast("q"))[:] = 0
        world.comm.Barrier()
        self._window.Lock_all(MPI.MODE_NOCHECK)

    def take(self) -> int:
        """The next ticket of all time."""
        self._window.Fetch_and_op(self._one, self._ticket, 0, 0, MPI.SUM)
        self._window.Flush(0)
        return int(self._ticket[0])

    def tickets(self, count: int) -> Iterator[int]:
        """This executor's share of 0 to count - 1. Every executor must go through its share to the end, once a round."""
        while (ticket := self.take() - self._begin) < count:
            yield ticket
        self._begin += count + self._executors

    def close(self) -> None:
        """Give the window back. Collective."""
        self._window.Unlock_all()
        self._window.Free()
