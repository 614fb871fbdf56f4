"""Synchronous rounds with over-commitment: take the first N of more participants, cut the rest."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.clock.policy import RoundPolicy, asked
from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline


class Sync(RoundPolicy):
    """A round policy: ask ceil(overcommitment x N) online clients, end at the N-th that finishes.

    N is ``selection.participants``. This is FedScale's rule.

    When fewer than N finish, the round ends when nobody is left to wait for, with the updates that
    came (but see ``together`` for the fedscale rule). When nobody is online, the clock first moves
    to the next moment at which anyone is.
    """

    mode: str = "sync"
    overcommitment: float = Field(
        1.3, ge=1, le=1e6, description="clients asked for each update that is needed"
    )

    def at_once(self, participants: int) -> int:
        return asked(self.overcommitment, participants)

    def advance(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        rows = self.cohort(state, call, self.at_once(call.participants))
        flows = self.share(call, rows, call.participants)

        first = _first_to_finish(rows, call.participants)
        enough = np.count_nonzero(first) == call.participants
        end = float(rows["stop_seconds"][first].max()) if enough else self.last_stop(rows)
        if not first.any():
            self.check_possible(call)

        late = (rows["outcome"] == Outcome.COMPLETED) & ~first
        done = first | (late & (rows["stop_seconds"] <= end))
        # Also cuts a participant that finished at the same moment as the N-th, but after it.
        rows["outcome"][late] = Outcome.CUT
        self.cut(rows, end)
        return self.together(state, call, rows, done, flows, end)


def _first_to_finish(rows: np.ndarray, wanted: int) -> np.ndarray:
    """Return which (n,) bool are the first ``wanted`` to finish, or all who ever do.

    On a tie the smaller clients are first.
    """
    finish = np.where(rows["outcome"] == Outcome.COMPLETED, rows["stop_seconds"], np.inf)
    if np.count_nonzero(finish < np.inf) <= wanted:
        return finish < np.inf

    last = np.partition(finish, wanted - 1)[wanted - 1]
    first: np.ndarray = finish < last
    tied = np.flatnonzero(finish == last)
    tied = tied[np.argsort(rows["client"][tied])]
    first[tied[: wanted - np.count_nonzero(first)]] = True
    return first
