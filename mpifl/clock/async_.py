"""Asynchronous rounds of one update each: FedAsync."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mpifl.clock.flying import Flying, Sky
from mpifl.clock.timeline import Call, ClockState, Timeline
from mpifl.errors import InputError


class Async(Flying):
    """FedAsync: each update mixes its model into the global one, w = (1 - a s) w + a s w_client.

    Xie et al., arXiv 1903.03934, algorithm 1; a is ``mixing``, s the staleness factor. A round is one update:
    ``selection.participants`` is 1, or left out. Everything else is as in ``buffered``.
    """

    mixes: ClassVar[bool] = True

    mode: str = "async"
    mixing: float = Field(
        0.6, gt=0, le=1, description="alpha of the paper: share of the new model that an update without staleness makes up"
    )

    def updates(self, participants: int | None) -> int:
        """See RoundPolicy."""
        if participants not in (None, 1):
            raise InputError(
                f"selection.participants: {participants} is not allowed: clock.mode async mixes 1 at a time; leave it out"
            )
        return 1

    def advance(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        """See RoundPolicy."""
        sky = Sky.of(self, call, state)
        sky.land_updates()
        timeline, after = sky.finish(state, sky.now)
        timeline.participants["factor"] *= self.mixing
        return timeline, after
