"""What the asynchronous policies share: participants under way across rounds, each from the model version it was given."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.clock.air import Alone, Sharing
from mpifl.clock.online import online_index
from mpifl.clock.online_patterns import left_out
from mpifl.clock.policy import RoundPolicy, nobody_ever
from mpifl.clock.staleness import Staleness
from mpifl.clock.timeline import PARTICIPANT, Call, ClockState, Outcome, Timeline
from mpifl.errors import InputError, TrainingError

MOST_DROPS = 20_000  # in a row
DROPS_BEFORE_CHECK = 1000  # in a row, before the clock asks whether anyone can finish at all
COMPLETED, DROPPED, STALE = (int(outcome) for outcome in (Outcome.COMPLETED, Outcome.DROPPED, Outcome.STALE))


class Flying(RoundPolicy):
    """Base of the policies that keep participants under way while the model moves on.

    An update that comes more than ``max_staleness`` versions after its base is stale: it does not count and is not trained. A
    client is under way once at a time, and counts once in a round.
    """

    asynchronous: ClassVar[bool] = True

    concurrency: int = Field(..., ge=1, description="participants in flight at a time, as far as clients are online")
    max_staleness: int = Field(20, ge=0, description="model versions that an update may be behind")
    staleness: Staleness = Field(Staleness(), description="factor on the weight of a late update")

    def at_once(self, participants: int) -> int:
        """See RoundPolicy."""
        return self.concurrency

    def bases(self, state: ClockState) -> np.ndarray:
        """See RoundPolicy. Who will drop out, or is too late already, needs no model."""
        behind = state.version - state.flights["base"][state.flights["outcome"] == COMPLETED]
        found = np.bincount(behind[behind <= self.max_staleness])  # counted, not sorted: they are many, and lie close together
        return state.version - np.flatnonzero(found)


@dataclass
class Sky:
    """The event state of one round as it unfolds: who is under way, who has ended, the time."""

    policy: Flying
    call: Call
    now: float
    version: int
    draws: int
    air: Alone | Sharing
    busy: np.ndarray  # who is under way or has counted in this round (int64, sorted); a change makes a new array
    ended: list[np.void] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)  # who was asked at this very moment and dropped out at once (fedscale)
    waited: float = 0.0

    @classmethod
    def of(cls, policy: Flying, call: Call, state: ClockState) -> Sky:
        """The state that the last round left."""
        air = (
            Sharing(policy, call, state, min(policy.concurrency, call.population.clients))
            if policy.latency.shared
            else Alone(state)
        )
        return cls(policy, call, state.now, state.version, state.draws, air, state.clients)

    def fill(self) -> int:
        """Start participants until ``concurrency`` are under way, or no client is left that is online and free.

        Returns how many were started.
        """
        wanted = self.policy.concurrency - len(self.air)
        if wanted <= 0:
            return 0
        self.draws += 1
        chosen = self.call.choose(self.now, wanted, self.draws, self._not_asked())
        if len(chosen):
            self.air.add(self.policy.launch(self.call, chosen, self.now, self.version))
            self.busy = _with(self.busy, chosen)
        return len(chosen)

    def _not_asked(self) -> np.ndarray:
        """Who is not to be asked now: the busy and the gone, who would be asked again and again without time passing."""
        return _with(self.busy, np.array(self.gone, np.int64)) if self.gone else self.busy

    def _move(self, now: float) -> None:
        """Go on to a moment."""
        if now != self.now:
            self.now, self.gone = now, []

    def fill_or_wait(self) -> int:
        """As ``fill``; with nobody under way then, the clock moves to the next moment at which a client comes online."""
        begun = self.fill()
        if self.air:
            return begun
        index = online_index(self.call.population)
        if not index.anyone(self.now, self._not_asked()):
            start = index.next_opening(self.now, self.busy)
            if math.isinf(start):
                raise InputError(
                    f"population.trace: too few of the {self.call.population.clients} clients are ever online for"
                    f" {self.call.participants} updates a round"
                )
            self.waited += start - self.now
            self._move(start)
            begun = self.fill()
        if not self.air:
            raise TrainingError("the selection rule chose nobody at a moment at which clients are online")
        return begun

    def land(self, until: float = math.inf) -> np.void | None:
        """End the participant that stops next and return its row; when nobody stops by ``until`` it is then, and None."""
        row = self.air.land(until)
        if row is None:
            self._move(until)
            return None
        self._move(float(row["stop_seconds"]))
        if row["outcome"] == COMPLETED:
            row["staleness"] = self.version - row["base"]
            if row["staleness"] > self.policy.max_staleness:
                row["outcome"] = STALE
        if row["outcome"] != COMPLETED:
            self.busy = self.busy[self.busy != row["client"]]
        if row["outcome"] == DROPPED and row["start_seconds"] == self.now:
            self.gone.append(int(row["client"]))
        self.ended.append(row)
        return row

    def land_updates(self) -> None:
        """Let events happen until as many updates have come as the round is to have.

        Places are filled as they become free or, those for which nobody was online, as soon as a client comes online.
        """
        updates, drops, woken = 0, 0, False
        while updates < self.call.participants:
            begun = self.fill_or_wait()
            if woken and not begun and self.air.stuck:  # the selection rule does not take those who come online
                raise nobody_ever(len(self.air))
            landed = self.land(self._next_refill())
            woken = landed is None
            if landed is None:
                continue
            outcome = landed["outcome"]
            updates += outcome == COMPLETED
            drops = drops + 1 if outcome == DROPPED else 0
            if drops and drops % DROPS_BEFORE_CHECK == 0:
                self._check_drops(drops)

    def _next_refill(self) -> float:
        """The next moment at which a client comes online that is free, if there is a place for it; else infinity."""
        if len(self.air) >= self.policy.concurrency:
            return math.inf
        return online_index(self.call.population).next_opening(self.now, self.busy)

    def _check_drops(self, drops: int) -> None:
        """Raise InputError when so many drop-outs in a row are a sign that they will never end."""
        self.policy.check_possible(self.call, self.call.participants)
        # With fedscale those who can finish may be asked at the wrong moments for ever.
        if drops >= MOST_DROPS and not self.air.hopeful:
            raise InputError(
                f"clock.availability: {self.policy.availability!r}: {drops:,} participants in a row have dropped out"
            )

    def finish(self, state: ClockState, end: float) -> tuple[Timeline, ClockState]:
        """The round that these events made, and the state after it."""
        rows = np.array(self.ended, PARTICIPANT)
        rows["factor"] = self.policy.staleness.factor(rows["staleness"])
        self.policy.account(self.call, rows, rows["outcome"] != DROPPED, self.air.flows)
        counted = np.sort(rows["client"][rows["outcome"] == COMPLETED])
        after = ClockState(end, self.version + (len(counted) > 0), self.draws, *self.air.rest())
        return Timeline(state.now, end, self.waited, rows), after.of_clients(left_out(self.busy, counted))


def _with(busy: np.ndarray, clients: np.ndarray) -> np.ndarray:
    """A sorted array with some more clients in it."""
    return np.sort(np.concatenate([busy, clients]), kind="stable")
