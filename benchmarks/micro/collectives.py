"""How long the round protocol's messages take. ``mpirun -n 8 python -m benchmarks.micro.collectives FILE.json [BYTES]``.

Rank 0's clock, there and back: ``broadcast`` is a broadcast of so many bytes and a sum of 8 bytes that answers it, ``reduce`` a
broadcast of 8 bytes and a sum of so many, ``gather`` a broadcast of 8 bytes and rows that come to so many bytes at rank 0. Each
for the first 2, 3, ... ranks and up to BYTES (16 MiB), with the waiting of a run (test and sleep). Then the queue: executors
that do nothing but ask. Ranks are to fill one node after another, as mpirun places them by itself.
``benchmarks.scaling`` fits its network to the file; run it on a cluster to predict that one.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.micro.table import machine, show, versions
from mpifl.commands.exits import wrong_input_ends
from mpifl.errors import InputError
from mpifl.io.files import write_text
from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World, connect, library

FORMAT = "mpifl-collectives-1"
SIZES = tuple(8 << power for power in range(0, 22, 3))
"""Bytes: 8 B to 16 MiB."""
WARM_UP, MOST, LIMIT_SECONDS = 3, 61, 1.0
TICKETS, TURNS = 2000, 5


def main() -> None:
    """Measure on every rank, write and print on rank 0."""
    world = connect()
    with wrong_input_ends():  # on every rank, before anybody waits for anybody
        file, largest = _arguments(world.size)
    places = world.gather_rows(np.array([(os.uname().nodename, _boot())], "S128,S64"))
    sizes = [size for size in SIZES if size <= largest]
    measured, queues = [], []
    for ranks in json.loads(
        world.broadcast_text(json.dumps(_counts(places)) if world.aggregates else None)
    ):
        comm = world.comm.Split(int(world.rank >= ranks), world.rank)
        assert isinstance(comm, type(world.comm))
        part = dataclasses.replace(world, comm=comm)
        if world.rank < ranks:
            where = _where(places[:ranks])
            for operation in ("broadcast", "reduce", "gather"):
                measured += [
                    {**where, "operation": operation, **_one(part, operation, size)}
                    for size in sizes
                ]
            queues.append({**where, **_queue(part)})
        part.comm.Free()
        world.wait(world.comm.Ibarrier())
    if world.aggregates:
        about = {
            "format": FORMAT,
            "mpi": library(),
            "processor": machine(),
            "versions": versions("mpi4py", "numpy"),
        }
        write_text(
            file, json.dumps({**about, "measured": measured, "queue": queues}, indent=1) + "\n"
        )
        _print(measured, queues)


def _arguments(ranks: int) -> tuple[Path, int]:
    """FILE and BYTES. Raises InputError."""
    words = sys.argv[1:]
    if not 1 <= len(words) <= 2 or not Path(words[0]).parent.is_dir():
        raise InputError(
            "FILE: name one file, in a folder that is there: ... -m benchmarks.micro.collectives network.json"
        )
    if not all(word.isdecimal() and int(word) >= SIZES[0] for word in words[1:]):
        raise InputError(
            f"BYTES: {words[1]!r} is not allowed; allowed: a number from {SIZES[0]} on, the most that is sent"
        )
    if ranks < 2:
        raise InputError(
            "ranks: 1 is not allowed: there are no messages; allowed: 2 and more, mpirun -n 8 ..."
        )
    return Path(words[0]), int(words[1]) if words[1:] else SIZES[-1]


def _counts(places: np.ndarray) -> list[int]:
    """The numbers of ranks to measure: 2, 3, 4, 6, 8, 12, ... of a node, all of it, of 2, 4, ... nodes, and all there are."""
    size, node = len(places), Counter(places["f0"].tolist()).most_common(1)[0][1]
    inside = {
        count
        for power in range(1, 12)
        for count in (2**power, 3 * 2 ** (power - 1))
        if count < min(node, size)
    }
    nodes = {node * 2**power for power in range(12) if 2 <= node * 2**power < size}
    return sorted(inside | nodes | {size})


def _boot() -> str:
    """What a machine is known by, whatever host names it goes by."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return os.uname().nodename


def _where(places: np.ndarray) -> dict[str, Any]:
    """Of the ranks that take part: how many, on how many nodes, and whether one machine has more of them than cores.

    Rank 0 sleeps while it waits: one rank more than cores is not too many.
    """
    if not len(places):
        return {}
    most = max(Counter(places["f1"].tolist()).values())
    nodes = Counter(places["f0"].tolist())
    crowded = most > (os.cpu_count() or 1) + 1
    return {"ranks": len(places), "ranks_per_node": max(nodes.values()), "crowded": crowded}


def _one(world: World, operation: str, size: int) -> dict[str, Any]:
    """Seconds of one operation, there and back, on rank 0: median, least, most."""
    small, rows = np.zeros(1, np.int64), np.zeros(max(1, size // 8 // world.size), "i8")
    large = np.ones(size // 8, np.int64)
    seconds: list[float] = []
    going_on, end = np.ones(1, np.int64), time.monotonic() + LIMIT_SECONDS
    while going_on[0]:
        begun = time.perf_counter()
        world.broadcast(large if operation == "broadcast" else small)
        if operation == "gather":
            world.gather_rows(rows)
        else:
            world.sum_to_root(large if operation == "reduce" else small)
        seconds.append(time.perf_counter() - begun)
        enough = len(seconds) >= WARM_UP + MOST or (
            time.monotonic() > end and len(seconds) > WARM_UP + 2
        )
        going_on[0] = not enough
        world.broadcast(going_on)
        large[:] = 1  # sums grow
        world.wait(world.comm.Ibarrier())
    timed = seconds[WARM_UP:]
    moved = rows.nbytes * world.size if operation == "gather" else large.nbytes
    return {
        "bytes": moved,
        "seconds": median(timed),
        "least": min(timed),
        "most": max(timed),
        "times": len(timed),
    }


def _queue(world: World) -> dict[str, Any]:
    """Tickets a second, seconds from asking to having, and what one message costs rank 0 in seconds of its processor."""
    queue, asked, gaps, walls, cpus = Queue(world), np.zeros(TICKETS), [0.0], [], []
    for _ in range(TURNS):
        world.broadcast(np.zeros(1, np.int64))
        wall, cpu = time.perf_counter(), time.process_time()
        if world.executes:
            times = [time.perf_counter() for _ in queue.tickets(asked)]
            gaps += np.diff(times).tolist()
        else:
            queue.serve(asked)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        world.sum_to_root(np.zeros(1, np.int64))
    gap = world.gather_rows(np.array([median(gaps)]))
    messages = (
        TICKETS + 2 * world.executors
    )  # each executor also asks in vain once, and says that it is done
    return {
        "tickets_per_second": TICKETS / median(walls),
        "round_trip_seconds": median(gap[1:].tolist() or [0.0]),
        "serve_seconds": median(cpus) / messages,
        "wall_seconds_a_message": median(walls) / messages,
    }


def _print(measured: list[dict[str, Any]], queues: list[dict[str, Any]]) -> None:
    counts = sorted({one["ranks"] for one in measured})
    for operation in ("broadcast", "reduce", "gather"):
        by_size = [
            [one for one in measured if one["operation"] == operation and one["ranks"] == count]
            for count in counts
        ]
        rows = [["bytes", *(f"{count} ranks, us" for count in counts)]]
        rows += [
            [f"{line[0]['bytes']:,}", *(f"{one['seconds'] * 1e6:,.0f}" for one in line)]
            for line in zip(*by_size, strict=True)
        ]
        show(f"\n{operation}, there and back, median", rows, machine(), library())
    rows = [
        ["ranks", "tickets/s", "us, asked to had", "us of rank 0's processor a message", "crowded"]
    ]
    for one in queues:
        micros = [one[name] * 1e6 for name in ("round_trip_seconds", "serve_seconds")]
        rate = f"{one['tickets_per_second']:,.0f}"
        rows.append(
            [
                str(one["ranks"]),
                rate,
                *(f"{value:.1f}" for value in micros),
                "yes" if one["crowded"] else "",
            ]
        )
    show("\nqueue", rows)


if __name__ == "__main__":
    main()
