"""The shared queue hands every ticket out once, round after round."""

from __future__ import annotations

import numpy as np

from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World

TICKET = np.dtype([("ticket", "<i8")])


def test_every_ticket_is_taken_once_in_every_round(world: World) -> None:
    queue = Queue(world)
    for count in (1, 0, 7, 500, 2):
        taken = list(queue.tickets(count)) if world.executes else []
        everyone = world.gather_rows(np.array(taken, np.int64).view(TICKET))
        if world.aggregates:
            assert sorted(everyone["ticket"].tolist()) == list(range(count))
    queue.close()


def test_one_executor_gets_its_tickets_in_order(world: World) -> None:
    queue = Queue(world)
    if world.executes:
        taken = list(queue.tickets(50))
        assert taken == sorted(taken)
    queue.close()
