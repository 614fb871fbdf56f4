"""Rounds that are settled after they were trained, from what participants really did.

With ``clock.costs: measured`` participants are trained when they are asked, and their updates are
kept where they were made. The round policy settles the round from their true costs, and then the
updates of those who completed it are counted. Where participants stay under way from round to
round, their updates are kept until they land.

Kept updates are in no checkpoint, and are lost with a rank. Who has landed without one is trained
once more, to the same bits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from mpifl.clock.settlement import Costs, Settlement
from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline
from mpifl.clock.workload import Workload
from mpifl.job import Job
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.plan.plan import TASK, Plan, after_probe, call_of, plan_of
from mpifl.rounds.plan.probe import Probed
from mpifl.rounds.plan.securing import settlement
from mpifl.selection.feedback import State
from mpifl.stopwatch import Stopwatch

Kept = dict[int, np.void]
"""By client, what the training of an update gave that is kept (structured METRIC)."""


@dataclass
class Unsettled:
    """A round that is not settled yet.

    Attributes:
        round_number: From 1 on.
        before: The clock's state after the round before.
        probed: The round's probe, if it has one.
        making: The round in the making.
        asked: Who is to be trained before it goes on (structured PARTICIPANT); empty at its end.
        settled: The round and the clock's state after it, at its end.
    """

    round_number: int
    before: ClockState
    probed: Probed | None
    making: Settlement
    asked: np.ndarray
    settled: tuple[Timeline, ClockState] | None = None

    @property
    def tasks(self) -> np.ndarray:
        """A task (structured TASK) for everyone who is to be trained; weights are not known yet."""
        tasks = np.zeros(len(self.asked), TASK)
        tasks["round"] = self.round_number
        for name in ("client", "began", "base", "steps", "samples", "sent"):
            tasks[name] = self.asked[name]
        return tasks

    def go_on(self) -> None:
        """Go on until somebody is to be trained, or to the end."""
        self.asked = self.asked[:0]
        try:
            while not len(self.asked):
                self.asked = next(self.making)
        except StopIteration as end:
            self.settled = end.value


def ask_round(
    experiment: TimingExperiment,
    workload: Workload,
    round_number: int,
    state: ClockState,
    learned: State,
    watch: Stopwatch,
    probed: Probed | None,
    kept: Kept,
) -> Unsettled:
    """Return a round with those who are asked first.

    ``kept`` are the updates that executors keep, also while the round is made; other arguments are
    those of ``make_plan``.
    """
    job = experiment.job
    start = after_probe(state, probed)
    call = call_of(
        job,
        experiment.population,
        workload,
        round_number,
        start,
        learned,
        watch,
        probed,
    )
    making = _measured(job, round_number, start, call, kept)
    unsettled = Unsettled(round_number, state, probed, making, state.flights[:0])
    with watch("clock"):
        unsettled.go_on()
    return unsettled


def plan_settled(experiment: TimingExperiment, unsettled: Unsettled) -> Plan:
    """Return the plan of a round that is settled; its tasks are those whose updates count."""
    assert unsettled.settled is not None
    job = experiment.job
    return plan_of(
        job,
        experiment.population,
        unsettled.round_number,
        *unsettled.settled,
        unsettled.probed,
    )


def let_go(kept: Kept, plan: Plan) -> None:
    """Forget the updates, in place, of who neither is under way after a round nor counts in it."""
    needed = {*plan.after.flights["client"].tolist(), *plan.tasks["client"].tolist()}
    for client in kept.keys() - needed:
        del kept[client]


def _measured(
    job: Job, round_number: int, state: ClockState, call: Call, kept: Mapping[int, np.void]
) -> Settlement:
    """Return a round in the making, of participants that are trained.

    Who is trained is in ``kept`` when it goes on.
    """
    making = settlement(job, round_number, state, call)
    try:
        asked = next(making)
        while True:
            yield asked
            asked = making.send(_costs(job, asked, kept))
    except StopIteration as end:
        timeline, after = end.value

    lacking = _lacking(timeline, call, kept)
    if len(lacking):
        yield lacking
    return timeline, after


def _lacking(timeline: Timeline, call: Call, kept: Collection[int]) -> np.ndarray:
    """Return those who completed a round, and whose updates are not kept, as launched."""
    rows = timeline.participants
    lost = np.array([client not in kept for client in rows["client"].tolist()], bool)
    lacking = rows[lost & (rows["outcome"] == Outcome.COMPLETED)]
    lacking["steps"] = lacking["ordered"]
    return lacking


def _costs(job: Job, asked: np.ndarray, kept: Mapping[int, np.void]) -> Costs:
    """Return the steps that participants have made, and the bytes that they send.

    Those whose training failed have what was planned.
    """
    steps = asked["steps"].copy()
    loads = asked["load_up"].copy()
    for place, client in enumerate(asked["client"].tolist()):
        metrics = kept[client]
        if metrics["failed"]:
            continue
        steps[place] = metrics["steps"]
        masked = job.secure_aggregation.active  # then they are all of one length
        if metrics["bytes_up"] > 0 and not masked:
            loads[place] = metrics["bytes_up"]
    return Costs(steps, loads)
