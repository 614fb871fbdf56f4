"""Selection and clock into the round's plan: the one thing that aggregator and executors share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpifl.clock.timeline import Outcome, Timeline
from mpifl.clock.workload import Workload
from mpifl.job import Job
from mpifl.population.population import Population

TASK = np.dtype([("client", "<i8"), ("base", "<i4"), ("steps", "<i4"), ("samples", "<i8"), ("weight", "<f8")])
"""One update to train: whose, from which model version, how many SGD steps, how many samples those go through, and its
share of the mean (the weights of a plan add up to 1)."""


@dataclass(frozen=True)
class Plan:
    """A round: ``tasks`` (structured TASK) in the order in which executors take them, and the virtual time it takes."""

    round_number: int
    tasks: np.ndarray
    timeline: Timeline


def make_plan(job: Job, population: Population, workload: Workload, round_number: int, now: float) -> Plan:
    """The plan of a round that begins at virtual second ``now`` or when anyone is online. Nothing is trained yet."""

    def choose(moment: float, wanted: int) -> np.ndarray:
        chosen: np.ndarray = job.selection.choose(population, moment, wanted, job.seed, round_number)
        return chosen

    timeline = job.clock.advance(now, job.selection.participants, choose, population, workload)
    return Plan(round_number, _tasks(timeline, job, population, round_number), timeline)


def _tasks(timeline: Timeline, job: Job, population: Population, round_number: int) -> np.ndarray:
    """The completed participants as tasks, largest first, so that no rank is left with a long one at the end."""
    completed = np.flatnonzero(timeline.outcome == Outcome.COMPLETED)
    tasks = np.empty(len(completed), TASK)
    tasks["client"] = timeline.client[completed]
    tasks["base"] = round_number - 1
    tasks["steps"] = timeline.steps[completed]
    tasks["samples"] = timeline.samples[completed]
    weight = job.algorithm.weight(population.samples(tasks["client"]))
    tasks["weight"] = weight / weight.sum() if len(tasks) else weight
    return tasks[np.lexsort((tasks["client"], -tasks["samples"]))]
