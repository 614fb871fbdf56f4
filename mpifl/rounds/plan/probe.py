"""Candidates that compute the model's loss before the clients of a round are chosen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mpifl.clock.battery import joules_left
from mpifl.clock.cost import Cost
from mpifl.clock.timeline import ClockState, Outcome, Timeline
from mpifl.clock.workload import Workload
from mpifl.job import Job
from mpifl.population.population import Population
from mpifl.rounds.plan.asking import NO_CHARGES, call_for
from mpifl.selection.context import PROBED
from mpifl.selection.feedback import State
from mpifl.stopwatch import UNWATCHED, Stopwatch

ANSWER_BYTES = 4
"""A loss, float32."""

LOSS_ONLY = Cost(training=0.0, evaluations=1.0)
"""One pass over the client's samples, forward only."""


@dataclass(frozen=True)
class Probe:
    """The probe of a round, in virtual time.

    Attributes:
        version: The model version whose loss is computed.
        timeline: Its seconds, and the candidates (structured PARTICIPANT); the outcome of those
            that answered is PROBED.
        charges: The batteries after it (structured CHARGE).
    """

    version: int
    timeline: Timeline
    charges: np.ndarray = field(default_factory=NO_CHARGES.copy)

    @property
    def clients(self) -> np.ndarray:
        """The candidates that answered, int64, in the order in which they were asked."""
        rows = self.timeline.participants
        return rows["client"][rows["outcome"] == Outcome.PROBED]

    def answers(self, losses: np.ndarray) -> np.ndarray:
        """Return what the selection rule is told (structured PROBED), given losses (n,)."""
        rows = np.zeros(len(losses), PROBED)
        rows["client"] = self.clients
        rows["loss"] = losses
        return rows

    def clock(self, state: ClockState) -> ClockState:
        """Return the state of the clock after the probe, given that before it."""
        return replace(
            state,
            now=self.timeline.end_seconds,
            draws=state.draws + 1,
            charges=self.charges,
        )

    def before(self, timeline: Timeline) -> Timeline:
        """Return a round that began after the probe, with the probe as its beginning."""
        own = self.timeline
        return Timeline(
            start_seconds=own.start_seconds,
            end_seconds=timeline.end_seconds,
            waited_seconds=own.waited_seconds + timeline.waited_seconds,
            participants=np.concatenate([own.participants, timeline.participants]),
            joules_left=np.concatenate([own.joules_left, timeline.joules_left]),
        )


Probed = tuple[Probe, np.ndarray]
"""The probe of a round, and the losses (n,) of those who answered."""


def plan_probe(
    job: Job,
    population: Population,
    workload: Workload,
    round_number: int,
    state: ClockState,
    learned: State,
    watch: Stopwatch = UNWATCHED,
) -> Probe:
    """Return the probe of a round: who is asked for the loss, and what that costs.

    A candidate downloads what participants receive, goes through its samples once without
    gradients, and uploads a number. The probe ends when all have answered or dropped out.

    Args:
        job: Has the selection rule and the clock.
        population: The clients.
        workload: What the round costs a participant.
        round_number: From 1 on.
        state: The clock's state after the round before.
        learned: What the selection rule has learned.
        watch: Counts the time of selection and clock.
    """
    clock = job.clock
    call = call_for(
        job,
        population,
        workload,
        round_number,
        learned,
        watch,
        job.selection.candidates,
        charged=replace(workload, bytes_up=ANSWER_BYTES, cost=LOSS_ONLY),
        most=population.clients,
        charges=state.charges,
    )
    with watch("clock"):
        rows = clock.cohort(state, call, clock.at_once(call.participants))
        flows = clock.share(call, rows, len(rows))
        end = clock.last_stop(rows)
        clock.cut(rows, end)
        done = rows["outcome"] == Outcome.COMPLETED
        clock.account(call, rows, done, flows, end)
        charges = clock.charges_after(call, rows)
        rows["outcome"][done] = Outcome.PROBED
        rows["steps"] = 0
        rows["samples"] = 0

    start = float(rows["start_seconds"][0])
    left = joules_left(charges, rows)
    timeline = Timeline(start, end, start - state.now, rows, joules_left=left)
    return Probe(state.version, timeline, charges)
