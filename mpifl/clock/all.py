"""Synchronous rounds that wait for everyone."""

from __future__ import annotations

from mpifl.clock.policy import RoundPolicy, together
from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline


class All(RoundPolicy):
    """Ask as many clients as there are participants, and end when the last has finished or dropped out."""

    mode: str = "all"

    def advance(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        """See RoundPolicy."""
        rows = self.cohort(state, call, call.participants)
        done = rows["outcome"] == Outcome.COMPLETED
        if not done.any():
            self.check_possible(call)
        self.account(call, rows, done)
        return together(state, rows, float(rows["stop_seconds"].max()))
