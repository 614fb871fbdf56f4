"""What an executor waits for a ticket. ``mpirun -n 3 python -m benchmarks.micro.queue [tickets]``.

All executors draw at once, as fast as they can; rank 0 hands out, as it does in a run.
"""

from __future__ import annotations

import sys
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.micro.table import machine, show, versions
from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World, connect, library

TICKETS = 10_000
WARM_UP, ROUNDS = 2, 25


def main() -> None:
    """Time on every rank, print on rank 0."""
    tickets = int(sys.argv[1]) if len(sys.argv) > 1 else TICKETS
    world = connect()
    queue, asked = (
        Queue(world),
        np.zeros(tickets),
    )  # of no known work: all but the first are asked for
    micros: list[float] = []
    each: list[float] = []
    for turn in range(WARM_UP + ROUNDS):
        world.broadcast(np.zeros(1, np.int64))  # a round begins for all at once
        begun = perf_counter()
        taken = 0
        if world.executes:
            taken = sum(1 for _ in queue.tickets(asked))
        else:
            queue.serve(asked)
        seconds = perf_counter() - begun
        micros_a_take = seconds / (taken + 1) * 1e6  # the last take says that there are no more
        total = np.array([taken, 1 if world.executes else 0], np.int64)
        world.sum_to_root(total)
        timed = world.gather_rows(np.array([(world.rank, taken, micros_a_take)], "i8,i8,f8"))
        if world.aggregates and turn >= WARM_UP:
            _check(world, int(total[0]), tickets)
            executors = timed if world.size == 1 else timed[1:]
            micros += executors["f2"].tolist()
            each += (executors["f1"] / tickets).tolist()
    if world.aggregates:
        rows = [
            ("executors", "us a take, median", "least", "most", "smallest share", "tickets/s, all")
        ]
        middle = median(micros)
        rate = world.executors / middle * 1e6
        rows.append(
            (
                str(world.executors),
                f"{middle:.2f}",
                f"{min(micros):.2f}",
                f"{max(micros):.2f}",
                f"{min(each):.0%}",
                f"{rate:,.0f}",
            )
        )
        title = f"{tickets:,} tickets a round, {ROUNDS} rounds, {world.size} ranks"
        show(title, rows, machine(), f"{library()}, {versions('mpi4py', 'numpy')}")


def _check(world: World, taken: int, tickets: int) -> None:
    if taken != tickets:
        raise ValueError(f"{world.executors} executors took {taken} of {tickets} tickets")


if __name__ == "__main__":
    main()
