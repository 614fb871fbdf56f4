"""Asynchronous rounds with a buffer: FedBuff."""

from __future__ import annotations

from mpifl.clock.flying import Flying, Sky
from mpifl.clock.timeline import Call, ClockState, Timeline


class Buffered(Flying):
    """FedBuff: keep ``concurrency`` participants in flight; the server step follows every N updates.

    Nguyen et al., arXiv 2106.06639. Updates are differences to their own base version, times their staleness factor. The place
    of a participant that finishes or drops out is taken at once by a client that is online; after the N-th update it starts
    from the new model. If no client is online and free, the place is taken as soon as one is: a client that is neither in
    flight nor has counted in this round. A participant that finishes at that very moment comes first.
    """

    mode: str = "buffered"

    def advance(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        """See RoundPolicy."""
        sky = Sky.of(self, call, state)
        sky.land_updates()
        return sky.finish(state, sky.now)
