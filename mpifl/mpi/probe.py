"""What the ranks find out for ``mpifl doctor``: ``mpirun -n N python -m mpifl.mpi.probe [FILE]``.

Rank 0 prints one line of JSON: the MPI library, its thread level, whether it survives the loss of a
rank and takes GPU memory (CUDA), the host and the GPU of every rank, the hosts that do not see
FILE, and how fast messages are between rank 0 and another rank of its host and of another host.
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from mpifl.mpi.launch import loaded_library
from mpifl.mpi.placement import own_gpu
from mpifl.mpi.start import MPI
from mpifl.mpi.world import World, connect, library

PINGS = 1000
WARM_UP_PINGS = 50
BANDWIDTH_BYTES = 8 << 20
"""Of one message, as long as a model of two million weights."""

TRANSFERS = 12
LIMIT_SECONDS = 3.0
"""The most time of one measurement, for a slow network."""

TAG = 7
LEVELS = {
    MPI.THREAD_SINGLE: "single",
    MPI.THREAD_FUNNELED: "funneled",
    MPI.THREAD_SERIALIZED: "serialized",
    MPI.THREAD_MULTIPLE: "multiple",
}


def main() -> None:
    """Collect all results, and print them on rank 0. Collective."""
    world = connect()
    hosts = world.hosts()
    sees_file = len(sys.argv) < 2 or Path(sys.argv[1]).is_file()
    seen = world.gather_texts("1" if sees_file else "")
    gpus = world.gather_texts(own_gpu(os.environ) or "")

    partners = json.loads(world.broadcast_text(json.dumps(_partners(hosts))))
    messages = {}
    for distance, partner in partners.items():
        latency = _latency_seconds(world, partner)
        bandwidth = _bytes_per_second(world, partner)
        messages[distance] = {"latency_seconds": latency, "bytes_per_second": bandwidth}

    if world.aggregates:
        version = ".".join(str(number) for number in MPI.Get_version())
        results = {
            "library": library(),
            "standard": version,
            "threads": LEVELS[MPI.Query_thread()],
            "recovers": world.recovers,
            "cuda": _knows_cuda(),
            "hosts": hosts,
            "gpus": gpus,
            "blind_hosts": sorted({host for host, saw in zip(hosts, seen, strict=True) if not saw}),
            "messages": messages,
        }
        print(json.dumps(results), flush=True)


def _partners(hosts: list[str]) -> dict[str, int]:
    """Return another rank on rank 0's host and one on another host, where there are such."""
    here = [rank for rank, host in enumerate(hosts) if rank and host == hosts[0]]
    elsewhere = [rank for rank, host in enumerate(hosts) if host != hosts[0]]
    return {
        distance: ranks[0]
        for distance, ranks in (("within a node", here), ("between nodes", elsewhere))
        if ranks
    }


def _latency_seconds(world: World, partner: int) -> float:
    """Return the median of half a round trip of one byte; NaN on other ranks than 0."""
    times = _round_trips(world, partner, 1, WARM_UP_PINGS + PINGS)[WARM_UP_PINGS:]
    return statistics.median(times) / 2 if times else float("nan")


def _bytes_per_second(world: World, partner: int) -> float:
    """Return the median bandwidth of messages of BANDWIDTH_BYTES; NaN on other ranks than 0."""
    times = _round_trips(world, partner, BANDWIDTH_BYTES, TRANSFERS)[1:]
    return 2 * BANDWIDTH_BYTES / statistics.median(times) if times else float("nan")


def _round_trips(world: World, partner: int, size: int, count: int) -> list[float]:
    """Return on rank 0 the seconds of each of ``count`` round trips of ``size`` bytes.

    Fewer where LIMIT_SECONDS are over before. The other ranks sleep meanwhile.
    """
    times: list[float] = []
    message = np.ones(
        size, np.uint8
    )  # zeros that were never written would all be one page of memory
    stop = np.zeros(1, np.uint8)

    if world.rank == 0:
        deadline = time.monotonic() + LIMIT_SECONDS
        for number in range(count):
            stop[0] = number == count - 1 or time.monotonic() > deadline
            started = time.perf_counter()
            world.comm.Send(message, partner, TAG)
            world.comm.Recv(message, partner, TAG)
            times.append(time.perf_counter() - started)
            world.comm.Send(stop, partner, TAG)
            if stop[0]:
                break
    elif world.rank == partner:
        while not stop[0]:
            world.comm.Recv(message, 0, TAG)
            world.comm.Send(message, 0, TAG)
            world.comm.Recv(stop, 0, TAG)

    world.wait(world.comm.Ibarrier())
    return times


def _knows_cuda() -> bool | None:
    """Return whether MPI takes pointers to a GPU's memory; None where the library does not tell."""
    try:
        path = loaded_library()
        query = ctypes.CDLL(str(path)).MPIX_Query_cuda_support if path else None
    except (OSError, AttributeError):
        return None
    return bool(query()) if query else None


if __name__ == "__main__":
    main()
