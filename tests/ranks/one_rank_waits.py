"""Not collected: tests/mpi/test_under_mpirun.py runs this file to see that a deadlock ends by its time limit."""

from __future__ import annotations

import numpy as np

from mpifl.mpi.world import World


def test_rank_0_waits_for_a_message_that_nobody_sends(world: World) -> None:
    if world.aggregates:
        world.comm.Recv(np.empty(1), source=1)
    assert world.size > 1
