"""Asynchronous rounds of one update each: FedAsync."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mpifl.clock.asynchronous import Asynchronous, EventLoop
from mpifl.clock.timeline import Call, ClockState, Timeline
from mpifl.errors import InputError


class Async(Asynchronous):
    """A round policy: each update mixes its model into the global one.

    w = (1 - a s) w + a s w_client, with staleness factor s (Xie et al., arXiv 1903.03934,
    algorithm 1). The rest is as in Buffered, with rounds of one update: ``selection.participants``
    is 1, or left out.
    """

    mixes: ClassVar[bool] = True

    mode: str = "async"
    mixing: float = Field(
        0.6,
        gt=0,
        le=1,
        description="alpha of the paper: share of an update without staleness in the new model",
    )

    def updates(self, participants: int | None) -> int:
        if participants not in (None, 1):
            raise InputError(
                f"selection.participants: {participants} is not allowed: clock.mode async mixes 1"
                " at a time; leave it out"
            )
        return 1

    def advance(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        events = EventLoop.of(self, call, state)
        events.land_updates()
        timeline, after = events.finish(state, events.now)
        timeline.participants["factor"] *= self.mixing
        return timeline, after
