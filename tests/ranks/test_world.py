"""The collectives, at every number of ranks."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest

from mpifl.errors import RankTimeout
from mpifl.mpi.world import SUM_NUMBERS, World
from mpifl.rounds.plan.plan import TASK


def test_a_broadcast_gives_every_rank_what_rank_0_has(world: World) -> None:
    tasks = np.zeros(5, TASK)
    if world.aggregates:
        tasks["client"], tasks["weight"] = np.arange(5), 0.2
    world.broadcast(tasks)
    assert tasks["client"].tolist() == [0, 1, 2, 3, 4]
    assert (tasks["weight"] == 0.2).all()


@pytest.mark.ranks(2)
def test_a_broadcast_may_be_larger_than_2_gib(world: World) -> None:
    """A model of 537 M weights: MPI itself counts in 32 bits."""
    weights = np.zeros((1 << 29) + 3, np.float32)
    places = [
        0,
        1 << 27,
        (1 << 28) - 1,
        1 << 28,
        (1 << 29) - 1,
        1 << 29,
        (1 << 29) + 2,
    ]  # few: memory is slow to get
    if world.aggregates:
        weights[places] = range(1, 8)
    world.broadcast(weights)
    assert weights[places].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert np.count_nonzero(weights[:: 1 << 12]) == 4


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 250])
def test_broadcasts_in_pieces_arrive_whole(
    world: World, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("mpifl.mpi.world.BROADCAST_BYTES", 100)
    sent = np.arange(size, dtype=np.uint8)
    first, second = (sent.copy() if world.aggregates else np.zeros_like(sent) for _ in range(2))
    world.broadcast(first, second)
    assert first.tolist() == second.tolist() == sent.tolist()


def test_texts_are_gathered_in_the_order_of_ranks(world: World) -> None:
    texts = world.gather_texts("" if world.rank == 1 else f"naïve ✓ {world.rank}\n" * world.rank)
    expected = ["" if rank == 1 else f"naïve ✓ {rank}\n" * rank for rank in range(world.size)]
    assert texts == (expected if world.aggregates else [])


def test_a_broadcast_of_nothing_is_allowed(world: World) -> None:
    empty = np.empty(0, TASK)
    world.broadcast(empty)
    assert len(empty) == 0


@pytest.mark.parametrize("text", ["", "naïve ✓", "x" * 100_000])
def test_text_arrives_whole(world: World, text: str) -> None:
    assert world.broadcast_text(text if world.aggregates else None) == text


def test_the_sum_is_that_of_integers_beyond_the_precision_of_floats(world: World) -> None:
    own = np.array([2**61 // world.size + world.rank, -(2**40) * world.rank, 1], np.int64)
    expected = [
        sum(2**61 // world.size + r for r in range(world.size)),
        -(2**40) * sum(range(world.size)),
        world.size,
    ]
    world.sum_to_root(own)
    if world.aggregates:
        assert own.tolist() == expected


@pytest.mark.parametrize("count", [0, SUM_NUMBERS, 2 * SUM_NUMBERS + 5])
def test_large_sums_are_those_of_every_number(world: World, count: int) -> None:
    own = np.arange(count) * (world.rank + 1)
    world.sum_to_root(own)
    if world.aggregates:
        assert np.array_equal(own, np.arange(count) * (world.size * (world.size + 1) // 2))


def test_rows_are_gathered_in_the_order_of_ranks_whatever_their_number(world: World) -> None:
    own = np.zeros(world.rank * 2 % 5, TASK)  # 0, 2, 4, 1, ... rows
    own["client"] = world.rank
    gathered = world.gather_rows(own)
    expected = (
        [rank for rank in range(world.size) for _ in range(rank * 2 % 5)]
        if world.aggregates
        else []
    )
    assert gathered["client"].tolist() == expected


def test_hosts_name_every_rank_on_rank_0(world: World) -> None:
    assert world.hosts() == ([socket.gethostname()] * world.size if world.aggregates else [])


def test_all_are_here(world: World) -> None:
    world.confirm()
    world.check()
    assert world.lost == 0


@pytest.mark.ranks(2, 3, 4)
def test_a_wait_that_is_too_long_names_who_is_waited_for(world: World) -> None:
    flag = np.zeros(1, np.int64)
    if world.aggregates:
        for other in range(1, world.size):
            world.comm.recv(source=other)  # it has waited in vain
        world.wait(world.comm.Ibcast(flag, root=0))
        return
    request = world.comm.Ibcast(flag, root=0)
    world.patience_seconds = 0.2
    try:
        with pytest.raises(RankTimeout, match=r"from rank 0 for 0\.2 s"):
            world.wait(request)
    finally:
        world.patience_seconds = None
        world.comm.send(None, 0)
    world.wait(request)


@pytest.mark.ranks(2, 3, 4)
def test_a_rank_that_waits_takes_no_core(world: World) -> None:
    flag = np.zeros(1, np.int64)
    if world.rank == 1:
        world.comm.recv(source=0)  # which waits from now on
        time.sleep(1.0)
    began, used = time.monotonic(), time.process_time()
    if world.aggregates:
        world.comm.send(None, 1)
    world.sum_to_root(flag)
    waited, worked = time.monotonic() - began, time.process_time() - used
    if world.aggregates:
        assert waited > 0.5
        assert (
            worked < 0.5 * waited
        )  # of a core, which a busy machine may make less of, and not more
