"""The ranks of a run and the few collectives that the round protocol needs.

Every wait tests and sleeps instead of spinning, so that a waiting rank takes no core from one that trains, on a full node and
on an oversubscribed one, with any MPI.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from mpi4py import MPI

FIRST_PAUSE_SECONDS = 20e-6
LONGEST_PAUSE_SECONDS = 1e-3
PAUSE_GROWTH = 1.3
TEXT_END_SECONDS = 0.2  # what mpirun is given to pass a last line on before the ranks are ended


@dataclass(frozen=True)
class World:
    """The communicator of a run. Rank 0 aggregates, the others execute; alone, rank 0 does both."""

    comm: MPI.Intracomm

    @property
    def rank(self) -> int:
        """This rank's number."""
        return self.comm.Get_rank()

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return self.comm.Get_size()

    @property
    def aggregates(self) -> bool:
        """Whether this rank is the aggregator."""
        return self.rank == 0

    @property
    def executes(self) -> bool:
        """Whether this rank trains."""
        return self.rank > 0 or self.size == 1

    @property
    def executors(self) -> int:
        """How many ranks train."""
        return max(1, self.size - 1)

    def broadcast(self, array: np.ndarray) -> None:
        """Rank 0's contents of a contiguous array into every other rank's, in place."""
        _wait(self.comm.Ibcast(_bytes(array), root=0))

    def broadcast_text(self, text: str | None) -> str:
        """Rank 0's text, on every rank; the others pass None."""
        data = np.frombuffer((text or "").encode(), np.uint8).copy()
        length = np.array([len(data)])
        self.broadcast(length)
        if not self.aggregates:
            data = np.empty(int(length[0]), np.uint8)
        self.broadcast(data)
        return data.tobytes().decode()

    def sum_to_root(self, array: np.ndarray) -> None:
        """The sum of all ranks' int64 arrays into rank 0's, in place; exact, so in whatever order MPI likes."""
        assert array.dtype == np.int64
        if self.aggregates:
            _wait(self.comm.Ireduce(MPI.IN_PLACE, array, op=MPI.SUM, root=0))
        else:
            _wait(self.comm.Ireduce(array, None, op=MPI.SUM, root=0))

    def gather_rows(self, rows: np.ndarray) -> np.ndarray:
        """All ranks' rows of a structured array on rank 0, in the order of the ranks; elsewhere an empty array."""
        counts = np.zeros(self.size, np.int64)
        counts[self.rank] = len(rows)
        self.sum_to_root(counts)
        gathered = np.empty(int(counts.sum()) if self.aggregates else 0, rows.dtype)
        sizes = counts * rows.dtype.itemsize
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        target = [_bytes(gathered), (sizes, starts), MPI.BYTE] if self.aggregates else None
        _wait(self.comm.Igatherv([_bytes(rows), MPI.BYTE], target, root=0))
        return gathered

    def hosts(self) -> dict[str, int]:
        """On rank 0, how many ranks each host has, by host name; elsewhere empty. Collective."""
        names = self.gather_rows(np.array([socket.gethostname()], "S128"))
        found, counts = np.unique(names, return_counts=True)
        return {name.decode(): int(count) for name, count in zip(found, counts, strict=True)}

    def abort(self, status: int) -> NoReturn:
        """End every rank at once with an exit status."""
        sys.stdout.flush()
        sys.stderr.flush()
        if self.size > 1:
            time.sleep(TEXT_END_SECONDS)
            self.comm.Abort(status)
        os._exit(status)


def connect() -> World:
    """The world that this process was started in; a world of one without mpirun."""
    return World(MPI.COMM_WORLD)


def library() -> str:
    """Name and version of the MPI library, such as ``Open MPI 5.0.11``."""
    name, version = MPI.get_vendor()
    return f"{name} {'.'.join(str(number) for number in version)}"


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.view(np.uint8) if array.ndim == 1 else array.reshape(-1).view(np.uint8)


def _wait(request: MPI.Request) -> None:
    pause = FIRST_PAUSE_SECONDS
    while not request.Test():
        time.sleep(pause)
        pause = min(LONGEST_PAUSE_SECONDS, pause * PAUSE_GROWTH)
