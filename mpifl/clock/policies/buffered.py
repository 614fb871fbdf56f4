"""Asynchronous rounds with a buffer: FedBuff."""

from __future__ import annotations

from mpifl.clock.asynchronous import Asynchronous, EventLoop
from mpifl.clock.timeline import Call, ClockState, Timeline


class Buffered(Asynchronous):
    """Keep ``concurrency`` participants under way; whenever N updates have come, the model moves by their mean.

    Nguyen et al., arXiv 2106.06639. Updates are differences to their own base; each counts times its staleness factor. The
    place of one that finishes or drops out is filled at once, from the clients that are online then; the place that the N-th
    leaves is filled from the new model. A place for which nobody is online is filled at the moment at which a client comes
    online that is neither under way nor has counted in the round. If somebody finishes at that very moment it lands first.
    """

    mode: str = "buffered"

    def advance(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        """See RoundPolicy."""
        sky = EventLoop.of(self, call, state)
        sky.land_updates()
        return sky.finish(state, sky.now)
