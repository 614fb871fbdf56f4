"""Synchronous rounds with over-commitment: ask more than needed, take the first that finish, cut the rest."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.clock.policy import RoundPolicy, asked
from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline


class Sync(RoundPolicy):
    """Ask ceil(overcommitment x N) clients, end at the N-th that finishes, cut the rest (FedScale's rule).

    N is ``selection.participants``. When fewer than N finish, the round ends with the updates there are, as soon as nobody is
    left to wait for. When nobody is online the clock first moves to the next moment at which anyone is.
    """

    mode: str = "sync"
    overcommitment: float = Field(1.3, ge=1, le=1e6, description="clients asked, per update that is needed")

    def at_once(self, participants: int) -> int:
        """See RoundPolicy."""
        return asked(self.overcommitment, participants)

    def advance(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        """See RoundPolicy."""
        rows = self.cohort(state, call, self.at_once(call.participants))
        flows = self.share(call, rows, call.participants)
        first = _first_to_finish(rows, call.participants)
        enough = np.count_nonzero(first) == call.participants
        end = float(rows["stop_seconds"][first].max()) if enough else self.last_stop(rows)
        if not first.any():
            self.check_possible(call)
        late = (rows["outcome"] == Outcome.COMPLETED) & ~first
        done = first | (late & (rows["stop_seconds"] <= end))
        rows["outcome"][late] = Outcome.CUT  # also one that finished with the N-th, and came after it
        self.cut(rows, end)
        return self.together(state, call, rows, done, flows, end)


def _first_to_finish(rows: np.ndarray, wanted: int) -> np.ndarray:
    """Which (n,) bool are the first ``wanted`` to finish, or all who ever do; of equal finishers the smaller clients."""
    finish = np.where(rows["outcome"] == Outcome.COMPLETED, rows["stop_seconds"], np.inf)
    if np.count_nonzero(finish < np.inf) <= wanted:
        return finish < np.inf
    last = np.partition(finish, wanted - 1)[wanted - 1]
    first: np.ndarray = finish < last
    equal = np.flatnonzero(finish == last)
    equal = equal[np.argsort(rows["client"][equal])]
    first[equal[: wanted - np.count_nonzero(first)]] = True
    return first
