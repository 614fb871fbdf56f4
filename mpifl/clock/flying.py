"""What the asynchronous policies share: participants under way across rounds, each from the model version it was given."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.clock.air import Alone, Sharing
from mpifl.clock.availability import first_online_of_others
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.staleness import Staleness
from mpifl.clock.timeline import PARTICIPANT, Call, ClockState, Outcome, Timeline
from mpifl.errors import InputError, TrainingError

SPARE = 4  # clients drawn beyond those wanted, because some that are drawn are under way already
MOST_DROPS = 20_000  # in a row
DROPS_BEFORE_CHECK = 1000  # in a row, before the clock asks whether anyone can finish at all


class Flying(RoundPolicy):
    """Base of the policies that keep participants under way while the model moves on.

    An update that comes more than ``max_staleness`` versions after its base is stale: it does not count and is not trained. A
    client is under way once at a time, and counts once in a round.
    """

    asynchronous: ClassVar[bool] = True

    concurrency: int = Field(..., ge=1, description="participants under way at a time")
    max_staleness: int = Field(20, ge=0, description="versions that the model may have moved on by")
    staleness: Staleness = Field(Staleness(), description="factor on a late update")

    def at_once(self, participants: int) -> int:
        """See RoundPolicy."""
        return self.concurrency

    def bases(self, state: ClockState) -> np.ndarray:
        """See RoundPolicy. Who will drop out, or is too late already, needs no model."""
        flights = state.flights[state.flights["outcome"] == Outcome.COMPLETED]
        bases: np.ndarray = flights["base"]
        return bases[state.version - bases <= self.max_staleness]


@dataclass
class Sky:
    """The event state of one round as it unfolds: who is under way, who has ended, the time."""

    policy: Flying
    call: Call
    now: float
    version: int
    draws: int
    air: Alone | Sharing
    ended: list[np.void] = field(default_factory=list)
    busy: set[int] = field(default_factory=set)  # who is under way or has counted in this round
    waited: float = 0.0

    @classmethod
    def of(cls, policy: Flying, call: Call, state: ClockState) -> Sky:
        """The state that the last round left."""
        air = Sharing(policy, call, state, policy.concurrency) if policy.latency.shared else Alone(state)
        return cls(policy, call, state.now, state.version, state.draws, air, busy=set(state.flights["client"].tolist()))

    def fill(self) -> None:
        """Start participants until ``concurrency`` are under way, or no client is left that is online and free."""
        wanted = self.policy.concurrency - len(self.air)
        if wanted <= 0:
            return
        self.draws += 1
        busy = self.busy.union(self._gone().tolist())
        asked = wanted + SPARE
        while True:
            drawn = self.call.choose(self.now, asked, self.draws)
            free = np.array([client for client in drawn.tolist() if client not in busy][:wanted], np.int64)
            if len(free) == wanted or len(drawn) < asked:
                break
            asked *= 2
        self.air.add(self.policy.launch(self.call, free, self.now, self.version))
        self.busy.update(free.tolist())

    def _gone(self) -> np.ndarray:
        """Who was asked at this very instant and dropped at once: with fedscale, and not to be asked again before it moves."""
        gone = []
        for row in reversed(self.ended):
            if row["stop_seconds"] != self.now:
                break
            if row["outcome"] == Outcome.DROPPED and row["start_seconds"] == self.now:
                gone.append(row["client"])
        return np.array(gone, np.int64)

    def fill_or_wait(self) -> None:
        """As ``fill``; with nobody under way then, the clock moves to the next moment at which anyone is online."""
        self.fill()
        if not self.air:
            phones, clients = self.call.population.phones, self.call.population.clients
            gone = self._gone()
            busy = np.array(sorted(self.busy.union(gone.tolist())), np.int64)
            start = first_online_of_others(phones, clients, self.now, busy, gone)
            if math.isinf(start):
                raise InputError(
                    f"population.trace: too few of the {clients} clients are ever online for"
                    f" {self.call.participants} updates a round"
                )
            now, self.now = self.now, start
            self.waited += self.now - now
            self.fill()
            if not self.air:
                raise TrainingError("the selection rule chose nobody at a moment at which clients are online")

    def land(self, until: float = math.inf) -> np.void | None:
        """End the participant that stops next and return its row; None when nobody stops by ``until``."""
        row = self.air.land(until)
        if row is None:
            return None
        self.now = float(row["stop_seconds"])
        if row["outcome"] == Outcome.COMPLETED:
            row["staleness"] = self.version - row["base"]
            if row["staleness"] > self.policy.max_staleness:
                row["outcome"] = Outcome.STALE
        if row["outcome"] != Outcome.COMPLETED:
            self.busy.discard(int(row["client"]))
        self.ended.append(row)
        return row

    def land_updates(self) -> None:
        """Let events happen until as many updates have come as the round is to have; fill places as they become free."""
        updates, drops = 0, 0
        while updates < self.call.participants:
            self.fill_or_wait()
            landed = self.land()
            assert landed is not None  # somebody is under way
            outcome = landed["outcome"]
            updates += outcome == Outcome.COMPLETED
            drops = drops + 1 if outcome == Outcome.DROPPED else 0
            if drops and drops % DROPS_BEFORE_CHECK == 0:
                self.policy.check_possible(self.call, self.call.participants)
            if drops == MOST_DROPS:  # with fedscale those who can finish may be asked at the wrong moments for ever
                raise InputError(
                    f"clock.availability: {self.policy.availability!r}: {drops:,} participants in a row have dropped out"
                )

    def finish(self, state: ClockState, end: float) -> tuple[Timeline, ClockState]:
        """The round that these events made, and the state after it."""
        rows = np.array(self.ended, PARTICIPANT)
        rows["factor"] = self.policy.staleness.factor(rows["staleness"])
        self.policy.account(self.call, rows, rows["outcome"] != Outcome.DROPPED, self.air.flows)
        step = bool((rows["outcome"] == Outcome.COMPLETED).any())
        after = ClockState(end, self.version + step, self.draws, *self.air.rest())
        return Timeline(state.now, end, self.waited, rows), after
