"""Rounds of equal length; late updates enter a later one."""

from __future__ import annotations

from pydantic import Field

from mpifl.clock.asynchronous import Asynchronous
from mpifl.clock.event_loop import EventLoop
from mpifl.clock.in_flight import Independent
from mpifl.clock.settlement import Settlement
from mpifl.clock.timeline import Call, ClockState, Outcome
from mpifl.errors import InputError


class Semisync(Asynchronous):
    """A round policy: rounds are windows of equal length.

    At the start of each window clients are asked until ``concurrency`` are under way. At its end
    the model moves by the updates that came. Participants still under way go on, and count in the
    window in which they finish, times their staleness factor. A window in which nobody finishes
    leaves the model as it is. ``selection.participants`` has no meaning, and may be left out.

    With ``target`` a window asks max(1, target - B) clients at most, B being those under way whose
    updates will count in it: the adaptive target of REFL (arXiv 2111.01108, section 4.1).
    """

    mode: str = "semisync"
    window_seconds: float = Field(..., gt=0, le=1e9, description="seconds of a round")
    target: int | None = Field(
        None,
        ge=1,
        description="participants of a window, those that come late from earlier ones among them:"
        " no more are asked, but one at least; null: as many as `concurrency` leaves room for",
    )

    def check(self) -> None:
        super().check()
        if self.target is not None and self.latency.coupled:
            raise InputError(
                f"clock.target: {self.target} is not allowed with a bandwidth that is shared, at"
                " the server or in cells: nobody knows who will finish in a window; leave it out"
            )

    def updates(self, participants: int | None) -> int:
        """Return 1, whatever the job says: a window waits for no update, but asks some client."""
        return 1

    def wanted(self, participants: int | None) -> int:
        """Return 0: a window waits for no update."""
        return 0

    def settlement(self, state: ClockState, call: Call) -> Settlement:
        events = EventLoop.of(self, call, state)
        most = None
        if self.target is not None:
            end = state.now + self.window_seconds
            yield from events.measure(end, ahead=True)
            assert isinstance(events.in_flight, Independent)
            late = events.in_flight.finishing(end, state.version - self.max_staleness)
            most = max(1, self.target - late)
        events.fill_or_wait(most)

        end = events.now + self.window_seconds
        yield from events.measure(end)
        while events.land(end) is not None:
            yield from events.measure(end)

        if events.ended and all(row["outcome"] == Outcome.DROPPED for row in events.ended):
            self.check_possible(call)
        return events.finish(state, end)
