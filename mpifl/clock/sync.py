"""Synchronous rounds with over-commitment: ask more than needed, take the first that finish, cut the rest."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.clock.policy import RoundPolicy, asked, together
from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline


class Sync(RoundPolicy):
    """Ask ceil(overcommitment x participants) clients that are online, and end at the N-th that finishes (FedScale's rule).

    When fewer than N finish, the round ends when nobody is left to wait for, with the updates there are (but see ``together``
    for fedscale's rule). When nobody is online the clock first moves to the next moment that anyone is.
    """

    mode: str = "sync"
    overcommitment: float = Field(1.3, ge=1, le=1e6, description="clients asked for each update that is needed")

    def advance(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        """See RoundPolicy."""
        rows = self.cohort(state, call, asked(self.overcommitment, call.participants))
        first = _by_finish(rows)[: call.participants]
        if not len(first):
            self.check_possible(call)
        enough = len(first) == call.participants
        end = float(rows["stop_seconds"][first[-1]] if enough else rows["stop_seconds"].max())
        late = rows["outcome"] == Outcome.COMPLETED
        done = late & (rows["stop_seconds"] <= end)
        late[first] = False
        rows["outcome"][late] = Outcome.CUT  # also one that finished with the N-th, and came after it
        self.cut(rows, end)
        self.account(call, rows, done)
        return together(state, rows, end)


def _by_finish(rows: np.ndarray) -> np.ndarray:
    """Indices of those who complete, first finisher first; equal finishers by client."""
    order = np.lexsort((rows["client"], rows["stop_seconds"]))
    return order[rows["outcome"][order] == Outcome.COMPLETED]
