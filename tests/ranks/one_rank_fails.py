"""Not collected: tests/mpi/test_under_mpirun.py runs this file to see that one failing rank ends them all."""

from __future__ import annotations

from mpifl.mpi.world import World


def test_rank_1_fails_before_a_barrier(world: World) -> None:
    assert world.rank != 1, "rank 1 fails on purpose"
    world.comm.Barrier()
