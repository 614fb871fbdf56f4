"""A round policy of one's own: a goal count and a time limit."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.clock.policy import RoundPolicy, overcommitted
from mpifl.clock.timeline import Asked, Call, ClockState, Outcome, Timeline


class GoalOrTimeout(RoundPolicy):
    """Rounds end with N updates, or after a time limit with those there are.

    Bonawitz et al., arXiv 1902.01046.

    ceil(overcommitment x N) clients are asked. Whoever has not finished at the end is cut.
    """

    mode: str = "goal_or_timeout"
    overcommitment: float = Field(
        1.3, ge=1, le=1e6, description="clients asked, per update that is needed"
    )
    timeout_seconds: float = Field(
        ..., gt=0, le=1e9, description="virtual seconds after which a round ends at the latest"
    )

    def at_once(self, participants: int) -> int:
        """Return how many clients a round asks."""
        return overcommitted(self.overcommitment, participants)

    def settle(self, state: ClockState, call: Call, asked: Asked) -> tuple[Timeline, ClockState]:
        """Return the round of those who were asked, and the clock's state after it."""
        # Who was asked, and when each of them would finish or drop out if nothing ended the round.
        rows = asked.rows
        limit = float(rows["start_seconds"][0]) + self.timeout_seconds
        flows = self.share(call, rows, call.participants, limit)

        # The round ends with the N-th update, at the limit, or when everybody has stopped.
        finished = np.sort(rows["stop_seconds"][rows["outcome"] == Outcome.COMPLETED])
        goal = finished[call.participants - 1] if len(finished) >= call.participants else np.inf
        end = float(min(goal, limit, rows["stop_seconds"].max()))

        self.cut(rows, end)
        done = rows["outcome"] == Outcome.COMPLETED
        if not done.any():
            self.check_possible(call)  # an error where no client could ever finish
        return self.together(state, call, rows, done, flows, end, limit)
