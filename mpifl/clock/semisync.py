"""Rounds of equal length; late updates enter a later one."""

from __future__ import annotations

from pydantic import Field

from mpifl.clock.flying import Flying, Sky
from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline


class Semisync(Flying):
    """Rounds are windows of equal length. At the start of each, clients are asked until ``concurrency`` are in flight.

    At the end of a window the server step takes the updates that have come. Participants still in flight count in the window
    in which they finish, times their staleness factor. A window without updates leaves the model as it is.
    ``selection.participants`` has no meaning and may be left out.
    """

    mode: str = "semisync"
    window_seconds: float = Field(..., gt=0, le=1e9, description="seconds of a round")

    def updates(self, participants: int | None) -> int:
        """See RoundPolicy. A window waits for none; that one client can be asked is all that it needs."""
        return 1

    def advance(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        """See RoundPolicy."""
        sky = Sky.of(self, call, state)
        sky.fill_or_wait()
        end = sky.now + self.window_seconds
        while sky.land(end) is not None:
            pass
        if sky.ended and all(row["outcome"] == Outcome.DROPPED for row in sky.ended):
            self.check_possible(call)
        return sky.finish(state, end)
