"""Selection and clock into the round's plan: the one thing that aggregator and executors share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpifl.clock.availability import count_online
from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline
from mpifl.clock.workload import Workload
from mpifl.job import Job
from mpifl.population.population import Population
from mpifl.seeds import Purpose, number

ONLINE_SAMPLE = 4096

TASK = np.dtype([("round", "<i4"), ("client", "<i8"), ("base", "<i4"), ("steps", "<i8"), ("samples", "<i8"), ("weight", "<f8")])
"""One update to train: for which round, whose, from which model version, how many SGD steps, how many samples those go
through, and its share of the mean (the weights of a round add up to 1 or, where late updates count less, to less)."""


@dataclass(frozen=True)
class Plan:
    """A round: ``tasks`` (structured TASK), the virtual time it takes, and the clock's state after it.

    ``online`` clients were online at its start; estimated where there are more than ONLINE_SAMPLE clients.
    """

    round_number: int
    tasks: np.ndarray
    timeline: Timeline
    after: ClockState
    online: float


def make_plan(job: Job, population: Population, workload: Workload, round_number: int, state: ClockState) -> Plan:
    """The plan of the round that follows ``state``. Nothing is trained yet."""

    def choose(now: float, wanted: int, draw: int) -> np.ndarray:
        chosen: np.ndarray = job.selection.choose(population, now, wanted, job.seed, draw)
        return chosen

    call = Call(job.selection.participants, choose, population, workload)
    timeline, after = job.clock.advance(state, call)
    key = number(job.seed, Purpose.ONLINE, round_number)
    online = count_online(population.phones, population.clients, key, timeline.start_seconds, ONLINE_SAMPLE)
    return Plan(round_number, _tasks(timeline, job, population, round_number), timeline, after, online)


def largest_first(tasks: np.ndarray) -> np.ndarray:
    """Tasks in the order in which executors take them, so that no rank is left with a long one at the end."""
    return tasks[np.lexsort((tasks["client"], tasks["round"], -tasks["samples"]))]


def _tasks(timeline: Timeline, job: Job, population: Population, round_number: int) -> np.ndarray:
    """The completed participants as tasks."""
    rows = timeline.participants[timeline.participants["outcome"] == Outcome.COMPLETED]
    tasks = np.empty(len(rows), TASK)
    tasks["round"] = round_number
    for name in ("client", "base", "steps", "samples"):
        tasks[name] = rows[name]
    weight = job.algorithm.weight(rows["samples"] if job.clock.weighs_work else population.samples(rows["client"]))
    tasks["weight"] = rows["factor"] * weight / weight.sum() if len(tasks) else weight
    return largest_first(tasks)
