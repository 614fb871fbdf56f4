"""The shared queue hands every ticket out once, round after round."""

from __future__ import annotations

import time

import numpy as np
import pytest
from mpi4py import MPI

from mpifl.errors import SilentRank
from mpifl.mpi.queue import DONE, Queue
from mpifl.mpi.world import World

TICKET = np.dtype([("ticket", "<i8")])


def share(world: World, count: int, pause_seconds: float = 0.0) -> list[int]:
    """What this rank takes of 0 to count - 1; rank 0 among others hands out."""
    world.broadcast(np.zeros(1, np.int64))  # as a batch begins
    queue = Queue(world)
    if not world.executes:
        queue.serve(count)
        return []
    taken = []
    for ticket in queue.tickets(count):
        taken.append(ticket)
        time.sleep(pause_seconds)
    return taken


def test_every_ticket_is_taken_once_in_every_round(world: World) -> None:
    """With nothing but a broadcast between the rounds: no ticket of one gets into the next."""
    taken = [share(world, count) for count in (1, 0, 7, 500, 2, 3, 3, 3)]
    for count, own in zip((1, 0, 7, 500, 2, 3, 3, 3), taken, strict=True):
        everyone = world.gather_rows(np.array(own, np.int64).view(TICKET))
        if world.aggregates:
            assert sorted(everyone["ticket"].tolist()) == list(range(count))


def test_tickets_come_in_order(world: World) -> None:
    taken = share(world, 50)
    assert taken == sorted(taken)


@pytest.mark.ranks(3, 4)
def test_who_is_at_a_long_task_takes_none_away_at_the_end(world: World) -> None:
    """As many tasks as two for each: the executor that is at a long first one gets no other before it asks for it."""
    count = 2 * world.executors
    taken = []
    if world.aggregates:
        Queue(world).serve(count)
    else:
        for ticket in Queue(world).tickets(count):
            taken.append(ticket)
            time.sleep(1.0 if ticket == 0 else 0.02)
    assert 0 not in taken or taken == [0]


@pytest.mark.ranks(3, 4)
def test_a_rank_from_which_nothing_comes_is_named(world: World) -> None:
    world.patience_seconds = 0.5
    try:
        if world.aggregates:
            with pytest.raises(SilentRank, match=rf"nothing has come from rank {world.size - 1} for 0\.5 s"):
                Queue(world).serve(0)
    finally:
        world.patience_seconds = None
    if world.rank in range(1, world.size - 1):
        world.comm.Isend([np.empty(0, np.uint8), MPI.BYTE], 0, DONE).Free()
