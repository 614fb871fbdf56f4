"""The ranks of a run: waiting for them, going on after one has died, and ending them.

Every wait tests and sleeps instead of spinning. So a waiting rank takes no core from one that
trains, on a full node and on an oversubscribed one, with any MPI.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from mpifl.errors import FAILED, RankLost, RankTimeout
from mpifl.mpi.start import MPI, RECOVERS
from mpifl.stopwatch import Stopwatch

FIRST_PAUSE_SECONDS = 20e-6
LONGEST_PAUSE_SECONDS = 1e-3
PAUSE_GROWTH = 1.02
"""Of pauses: each is a fiftieth of the time that a rank has waited so far."""

LAST_SECONDS = 10
LOSS_KNOWN_SECONDS = 1
TEXT_END_SECONDS = 0.2
"""The time that mpirun gets to pass a last line on, before the ranks are ended."""

FIRST_TURN_SECONDS = 0.3
NEXT_TURN_SECONDS = 0.05
LAST_TURN_SECONDS = 1.5
"""How long ranks 1, 2, ... wait before they log an error: it is often the same on many ranks."""

KILLED_SECONDS = 3
"""How much longer ranks from 2 on wait without recovery: MPI_Abort of rank 1 kills them first."""

TOLD = 1 << 30
"""A bit of what ranks agree on at the end: one of them has logged why."""


@dataclass
class Communicator:
    """The ranks of a run. Rank 0 aggregates, the others execute; alone, rank 0 does both.

    Where MPI ``recovers``, every call raises RankLost when a rank has died; ``recover`` then
    replaces ``comm`` by one of the ranks that are left.

    Attributes:
        comm: The communicator of the ranks that are alive.
        lost: Number of ranks that have died since the run began.
        watch: Counts where this rank's time goes.
        patience_seconds: A longer wait raises RankTimeout; None: no wait is too long.
        abandoned: Requests of collectives that a loss has cut off. They are kept because MPI may
            still write into their memory.
    """

    comm: MPI.Intracomm
    lost: int = 0
    watch: Stopwatch = field(default_factory=Stopwatch)
    patience_seconds: float | None = None
    abandoned: list[MPI.Request] = field(default_factory=list)

    @property
    def rank(self) -> int:
        """This rank's number."""
        return self.comm.Get_rank()

    @property
    def size(self) -> int:
        """Number of ranks."""
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
        """Number of ranks that train."""
        return max(1, self.size - 1)

    # Waiting

    def wait(self, request: MPI.Request) -> None:
        """Wait until a request is complete. Raises RankLost and RankTimeout."""
        pause = FIRST_PAUSE_SECONDS
        started = time.monotonic()
        patience = self.patience_seconds
        with self.losses():
            while not request.Test():
                if patience is not None and time.monotonic() - started > patience:
                    silent = list(range(1, self.size)) if self.aggregates else [0]
                    raise RankTimeout(silent, patience)
                time.sleep(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * PAUSE_GROWTH)

    def wait_for_all(self, requests: list[MPI.Request]) -> None:
        """Wait until all requests are complete. Raises RankLost and RankTimeout."""
        try:
            for request in requests:
                self.wait(request)
        except RankLost:
            self.abandoned += requests
            raise

    # The loss of a rank

    @property
    def recovers(self) -> bool:
        """Whether the run survives the death of a rank."""
        return os.environ.get(RECOVERS) == "1"

    @contextlib.contextmanager
    def losses(self) -> Iterator[None]:
        """Convert MPI's errors for a dead rank to RankLost."""
        try:
            yield
        except MPI.Exception as error:
            if self.recovers and (
                error.Get_error_class() in _loss_classes() or self._loss_becomes_known()
            ):
                raise RankLost from error
            raise

    def _loss_becomes_known(self) -> bool:
        """Return whether MPI reports a dead rank within LOSS_KNOWN_SECONDS.

        Open MPI's collectives may fail before it does, with an error that does not tell why.
        """
        deadline = time.monotonic() + LOSS_KNOWN_SECONDS
        while not self._rank_is_lost():
            if time.monotonic() > deadline:
                return False
            time.sleep(LONGEST_PAUSE_SECONDS)
        return True

    def _rank_is_lost(self) -> bool:
        return self.comm.Is_revoked() or self.comm.Get_failed().Get_size() > 0

    def check(self) -> None:
        """Raise RankLost when a rank has died."""
        if self.recovers and self._rank_is_lost():
            raise RankLost

    def recover(self, status: int = 0, tell: Callable[[], None] | None = None) -> None:
        """Go on after RankLost with the ranks that are left, in their old order.

        Collective, with ``confirm`` on other ranks. A rank that ends the run calls it with an exit
        ``status``: then every rank ends with that. It has logged why, or else gives ``tell``, which
        does so and is called if no other rank has.
        """
        self._revoke()
        self._agree(1)
        self._shrink(status, tell)

    def _revoke(self) -> None:
        """Have all calls of other ranks fail, now and from now on."""
        if not self.comm.Is_revoked():
            self.comm.Revoke()

    def confirm(self) -> None:
        """Return once every rank has called this. Collective.

        Raises RankLost when a rank was lost; then those that are left have recovered already.
        """
        if self.recovers and self._agree(0) != 0:
            self._shrink(0)
            raise RankLost(recovered=True)

    def _agree(self, bits: int) -> int | None:
        """Return all ranks' bits in one number (or), None when a rank was lost.

        The answer is the same on every rank, also if one dies meanwhile.
        """
        unset = np.array([~bits], np.int32)  # MPI agrees on what all have set
        try:
            self.wait(self.comm.Iagree(unset))
        except RankLost:
            return None
        return ~int(unset[0])

    def _shrink(self, status: int, tell: Callable[[], None] | None = None) -> None:
        """Replace ``comm`` by one of the ranks that are left; end where one has an exit ``status``.

        Arguments are those of ``recover``. It repeats until all ranks agree that they are through.
        Any other collective than the agreement may succeed on some ranks only.
        """
        before = self.size
        bits = 1 << status | (TOLD if status and tell is None else 0)
        statuses = None
        while statuses is None:
            comm = self.comm.Shrink()
            assert isinstance(comm, MPI.Intracomm)
            self.comm = comm
            statuses = self._agree(bits)

        self.lost += before - self.size
        worst = (statuses & ~TOLD).bit_length() - 1
        if worst:
            if tell is not None and not statuses & TOLD:
                tell()
            self.leave(worst)

    # The end

    def leave(self, status: int) -> NoReturn:
        """End this rank, when all ranks have come to the end.

        Where MPI recovers, without MPI_Finalize: in that Open MPI 5 at times waits for ever for
        ranks that have died.
        """
        _flush()
        if self.recovers:
            os._exit(status)
        sys.exit(status)

    def abort_silent(self) -> NoReturn:
        """End the run where some rank does not answer any more, not even to an abort."""
        _flush()
        if self.recovers:  # Abort would end this rank alone; who started the ranks ends all of them
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(LAST_SECONDS)
        self.comm.Abort(FAILED)
        os._exit(FAILED)

    def ends_elsewhere(self) -> bool:
        """Return whether another rank already ends the run; wait a moment for lower ranks to do so.

        To be called after an error, before it is logged. Without recovery the other rank kills this
        one during the wait.
        """
        if not self.rank:
            return False
        turn = FIRST_TURN_SECONDS + (self.rank - 1) * NEXT_TURN_SECONDS
        killed = 0 if self.recovers or self.rank == 1 else KILLED_SECONDS
        end = time.monotonic() + min(turn, LAST_TURN_SECONDS) + killed
        while time.monotonic() < end:
            with contextlib.suppress(MPI.Exception):
                self.comm.Iprobe()  # MPI learns of others in its calls alone
            if self.recovers and self.comm.Is_revoked():
                return True
            time.sleep(LONGEST_PAUSE_SECONDS)
        return False

    def abort(self, status: int, tell: Callable[[], None] | None = None) -> NoReturn:
        """End every rank with an exit status.

        At once, or where MPI recovers as soon as their current call is done. ``tell`` is that of
        ``recover``.
        """
        _flush()
        if self.size > 1:
            if self.recovers:
                self._revoke()  # now, so that others that fail do not log the same
            time.sleep(TEXT_END_SECONDS)
            if self.recovers:
                try:
                    self.recover(status, tell)
                except RankTimeout:
                    self.abort_silent()
            self.comm.Abort(status)
        os._exit(status)


def _loss_classes() -> tuple[int, ...]:
    return MPI.ERR_PROC_FAILED, MPI.ERR_PROC_FAILED_PENDING, MPI.ERR_REVOKED


def _flush() -> None:
    """Write out what was printed: a rank may end without Python's own end."""
    sys.stdout.flush()
    sys.stderr.flush()
