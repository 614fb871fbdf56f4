"""The ranks of a run and the few collectives that the round protocol needs.

Every wait tests and sleeps instead of spinning, so that a waiting rank takes no core from one that trains, on a full node and
on an oversubscribed one, with any MPI.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from mpifl.errors import FAILED, RankLost, RankTimeout
from mpifl.stopwatch import Stopwatch

RECOVERS = "OMPI_MCA_mpi_ft_enable"  # what `mpirun --with-ft ulfm` sets
START_SECONDS = 600

# With ULFM mpirun does not end the others when a rank dies before MPI has begun, and they would wait for it there for ever.
if os.environ.get(RECOVERS) == "1":
    signal.alarm(START_SECONDS)
# Between two ranks Open MPI's Ireduce sends pieces of 8 KiB, and each would wait for one of our sleeps: as one piece it takes
# 0.2 ms for 2 MiB and not 136. 2 is its binomial tree.
if os.environ.get("OMPI_COMM_WORLD_SIZE") == "2":
    os.environ.setdefault("OMPI_MCA_coll_libnbc_ireduce_algorithm", "2")
from mpi4py import MPI  # noqa: E402

signal.alarm(0)

PR_SET_TIMERSLACK, TIMER_SLACK_NANOSECONDS = 29, 1000
FIRST_PAUSE_SECONDS = 20e-6
LONGEST_PAUSE_SECONDS = 1e-3
PAUSE_GROWTH = 1.02  # of pauses: each is a fiftieth of the time that one has waited
SUM_NUMBERS = 1 << 21
"""Larger sums go in pieces, all under way at once: MPI then needs no new memory as large as they are, which takes longer to get
than the sum to make (64 MB on 3 ranks of a node: 68 ms and not 166). Broadcasts are no faster in pieces."""
BROADCAST_BYTES = 1 << 30
"""The largest piece of a broadcast. MPI counts in 32 bits (Open MPI 5 has no larger counts), so 2 GiB at once is an error."""
LAST_SECONDS = 10
LOSS_KNOWN_SECONDS = 1
TEXT_END_SECONDS = 0.2  # what mpirun is given to pass a last line on before the ranks are ended


@dataclass
class World:
    """The communicator of a run. Rank 0 aggregates, the others execute; alone, rank 0 does both.

    ``lost`` ranks have died since the run began. Where MPI ``recovers``, every call raises RankLost when one has, and
    ``recover`` puts in place of ``comm`` one of those that are left. More than ``patience_seconds`` of waiting is RankTimeout.
    ``watch`` counts where this rank's time goes. ``abandoned`` keeps the memory that collectives cut off may still write into.
    """

    comm: MPI.Intracomm
    lost: int = 0
    watch: Stopwatch = field(default_factory=Stopwatch)
    patience_seconds: float | None = None
    abandoned: list[MPI.Request] = field(default_factory=list)

    @property
    def recovers(self) -> bool:
        """Whether the run survives the death of a rank."""
        return os.environ.get(RECOVERS) == "1"

    @contextlib.contextmanager
    def losses(self) -> Iterator[None]:
        """What MPI says of a dead rank in the block is RankLost."""
        try:
            yield
        except MPI.Exception as error:
            if self.recovers and (error.Get_error_class() in _lost_classes() or self._lost_soon()):
                raise RankLost from error
            raise

    def _lost_soon(self) -> bool:
        """Whether MPI comes to know of a dead rank: Open MPI's collectives may fail before, with an error that says nothing."""
        until = time.monotonic() + LOSS_KNOWN_SECONDS
        while not self._one_is_lost():
            if time.monotonic() > until:
                return False
            time.sleep(LONGEST_PAUSE_SECONDS)
        return True

    def _one_is_lost(self) -> bool:
        return self.comm.Is_revoked() or self.comm.Get_failed().Get_size() > 0

    def wait(self, request: MPI.Request) -> None:
        """Until a request is complete. Raises RankLost and RankTimeout."""
        pause, begun = FIRST_PAUSE_SECONDS, time.monotonic()
        with self.losses():
            while not request.Test():
                if (
                    self.patience_seconds is not None
                    and time.monotonic() - begun > self.patience_seconds
                ):
                    raise RankTimeout(
                        list(range(1, self.size)) if self.aggregates else [0], self.patience_seconds
                    )
                time.sleep(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * PAUSE_GROWTH)

    def check(self) -> None:
        """Raise RankLost when a rank has died."""
        if self.recovers and self._one_is_lost():
            raise RankLost

    def recover(self, status: int = 0) -> None:
        """After RankLost: go on with those that are left, in their old order. Collective, with ``confirm`` on other ranks.

        A rank that ends the run calls it with an exit status: then every rank ends with that.
        """
        if not self.comm.Is_revoked():
            self.comm.Revoke()
        self._agree(1)
        self._shrink(status)

    def confirm(self) -> None:
        """Return once every rank has come here. Collective.

        Raises RankLost when one was lost: those that are left have recovered then.
        """
        if self.recovers and self._agree(0) != 0:
            self._shrink(0)
            raise RankLost(recovered=True)

    def _agree(self, bits: int) -> int | None:
        """All ranks' bits in one number, None when a rank was lost: the same answer everywhere, also if one dies meanwhile."""
        unset = np.array([~bits], np.int32)  # MPI agrees on what all have set
        try:
            self.wait(self.comm.Iagree(unset))
        except RankLost:
            return None
        return ~int(unset[0])

    def _shrink(self, status: int) -> None:
        """No collective but the agreement can tell that all have got through: any other ends well on some ranks only."""
        before, statuses = self.size, None
        while statuses is None:
            comm = self.comm.Shrink()
            assert isinstance(comm, MPI.Intracomm)
            self.comm = comm
            statuses = self._agree(1 << status)
        self.lost += before - self.size
        worst = statuses.bit_length() - 1
        if worst:
            self.leave(worst)

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

    def broadcast(self, *arrays: np.ndarray) -> None:
        """Copy rank 0's contiguous arrays, of any size, into every other rank's, in place; all under way at once."""
        with self.losses():
            pieces = [piece for array in arrays for piece in _pieces(_bytes(array))]
            requests = [self.comm.Ibcast(piece, root=0) for piece in pieces]
        self._wait_for_all(requests)

    def _wait_for_all(self, requests: list[MPI.Request]) -> None:
        try:
            for request in requests:
                self.wait(request)
        except RankLost:
            self.abandoned += requests
            raise

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
        """The sum of all ranks' int64 arrays (n,) into rank 0's, in place; exact, so in whatever order MPI likes."""
        assert array.dtype == np.int64
        assert array.ndim == 1
        requests = []
        with self.losses():
            for begin in range(0, len(array), SUM_NUMBERS):
                piece = array[begin : begin + SUM_NUMBERS]
                own, total = (MPI.IN_PLACE, piece) if self.aggregates else (piece, None)
                requests.append(self.comm.Ireduce(own, total, op=MPI.SUM, root=0))
        self._wait_for_all(requests)

    def gather_rows(self, rows: np.ndarray) -> np.ndarray:
        """All ranks' rows of a structured array on rank 0, in the order of the ranks; elsewhere an empty array."""
        counts = np.zeros(self.size, np.int64)
        counts[self.rank] = len(rows)
        self.sum_to_root(counts)
        gathered = np.empty(int(counts.sum()) if self.aggregates else 0, rows.dtype)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        # Whole rows, not bytes: MPI counts in 32 bits, and 2 GiB of rows are no more than others.
        row = MPI.BYTE.Create_contiguous(rows.dtype.itemsize).Commit()
        target = [_bytes(gathered), (counts, starts), row] if self.aggregates else None
        self.wait(self.comm.Igatherv([_bytes(rows), len(rows), row], target, root=0))
        row.Free()
        return gathered

    def gather_texts(self, text: str) -> list[str]:
        """Return on rank 0 the text of every rank, in the order of the ranks; elsewhere an empty list. Collective."""
        whole = self.gather_rows(np.frombuffer(f"{text}\0".encode(), np.uint8))
        return whole.tobytes().decode().split("\0")[:-1]

    def hosts(self) -> list[str]:
        """Return on rank 0 the host name of every rank; elsewhere an empty list. Collective."""
        return self.gather_texts(socket.gethostname())

    def leave(self, status: int) -> NoReturn:
        """End this rank; all ranks have come to the end.

        Where MPI recovers without MPI_Finalize: in that Open MPI 5 at times waits for ever for ranks that have died.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        if self.recovers:
            os._exit(status)
        sys.exit(status)

    def abort_silent(self) -> NoReturn:
        """End the run where some rank does not answer any more, not even to this."""
        sys.stdout.flush()
        sys.stderr.flush()
        if self.recovers:  # Abort would end this rank alone; who started the ranks ends all of them
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(LAST_SECONDS)
        self.comm.Abort(FAILED)
        os._exit(FAILED)

    def abort(self, status: int) -> NoReturn:
        """End every rank with an exit status: at once, or where MPI recovers as soon as what they are at is done."""
        sys.stdout.flush()
        sys.stderr.flush()
        if self.size > 1:
            time.sleep(TEXT_END_SECONDS)
            if self.recovers:
                try:
                    self.recover(status)
                except RankTimeout:
                    self.abort_silent()
            self.comm.Abort(status)
        os._exit(status)


def connect(begun: float | None = None) -> World:
    """The world that this process was started in (at ``begun``, time.monotonic); a world of one without mpirun."""
    _sleep_exactly()
    return World(MPI.COMM_WORLD, watch=Stopwatch(begun))


def _sleep_exactly() -> None:
    """Linux lets sleeps last 50 us longer than asked for, so that it wakes up more rarely; ours begin with less than that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NANOSECONDS, 0, 0, 0)


def library() -> str:
    """Name and version of the MPI library, such as ``Open MPI 5.0.11``."""
    name, version = MPI.get_vendor()
    return f"{name} {'.'.join(str(number) for number in version)}"


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.view(np.uint8) if array.ndim == 1 else array.reshape(-1).view(np.uint8)


def _pieces(raw: np.ndarray) -> list[np.ndarray]:
    """Split bytes (n,) into views of at most BROADCAST_BYTES; at least one, which may be empty."""
    return [
        raw[begin : begin + BROADCAST_BYTES]
        for begin in range(0, max(1, len(raw)), BROADCAST_BYTES)
    ]


def _lost_classes() -> tuple[int, ...]:
    return MPI.ERR_PROC_FAILED, MPI.ERR_PROC_FAILED_PENDING, MPI.ERR_REVOKED
