"""The shared queue hands every ticket out once, round after round."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from mpifl.errors import RankTimeout
from mpifl.mpi.queue import DONE, OWN_SHARE, Queue, own_tickets
from mpifl.mpi.world import World

TICKET = np.dtype([("ticket", "<i8")])
OVER = 99  # a tag of the tests' own


def share(world: World, count: int, pause_seconds: float = 0.0) -> list[int]:
    """What this rank takes of 0 to count - 1; rank 0 among others hands out."""
    world.broadcast(np.zeros(1, np.int64))  # as a batch begins
    queue = Queue(world)
    if not world.executes:
        queue.serve(np.ones(count))
        return []
    taken = []
    for ticket in queue.tickets(np.ones(count)):
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


@given(st.lists(st.floats(0, 1e6), max_size=60), st.integers(1, 8))
def test_who_has_tickets_of_its_own_has_no_more_than_its_share_of_the_work(
    sizes: list[float], executors: int
) -> None:
    costs = np.array(sorted(sizes, reverse=True))
    owner = own_tickets(costs, executors)
    assert owner[:executors].tolist() == list(
        range(min(executors, len(costs)))
    )  # everybody can begin
    for executor in range(executors):
        own = costs[owner == executor]
        assert len(own) <= 1 or own.sum() < OWN_SHARE * costs.sum() / executors


def test_equal_tickets_are_two_thirds_owned_and_a_giant_comes_alone() -> None:
    assert own_tickets(np.ones(12), 2).tolist() == [0, 1, 1, 0, 0, 1, -1, -1, -1, -1, -1, -1]
    assert own_tickets(np.ones(13), 2).tolist()[:10] == [0, 1, 1, 0, 0, 1, 1, 0, -1, -1]
    assert own_tickets(np.array([100.0, 1, 1, 1, 1, 1]), 2).tolist() == [0, 1, 1, -1, -1, 1]
    assert own_tickets(np.zeros(5), 2).tolist() == [0, 1, -1, -1, -1]  # of unknown work


@pytest.mark.ranks(3, 4)
def test_who_is_at_a_long_task_takes_none_away_at_the_end(world: World) -> None:
    """As many tasks as two for each: the executor whose first one lasts until all others are done gets no other."""
    count = 2 * world.executors
    taken = []
    if world.aggregates:
        Queue(world).serve(np.ones(count))
    else:
        for ticket in Queue(world).tickets(np.ones(count)):
            taken.append(ticket)
            if ticket == 0:
                for other in range(2, world.size):
                    world.comm.recv(source=other, tag=OVER)
        if world.rank > 1:
            world.comm.send(None, 1, OVER)
    assert 0 not in taken or (taken == [0] and world.rank == 1)


@pytest.mark.ranks(3, 4)
def test_a_rank_from_which_nothing_comes_is_named(world: World) -> None:
    if world.rank in range(1, world.size - 1):
        world.comm.Isend([np.empty(0, np.uint8), MPI.BYTE], 0, DONE).Free()
    world.comm.Barrier()  # what they say is on its way
    world.patience_seconds = 0.5
    try:
        if world.aggregates:
            with pytest.raises(
                RankTimeout, match=rf"nothing has come from rank {world.size - 1} for 0\.5 s"
            ):
                Queue(world).serve(np.empty(0))
    finally:
        world.patience_seconds = None
