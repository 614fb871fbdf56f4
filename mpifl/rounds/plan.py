"""Selection and clock into the round's plan: the one thing that aggregator and executors share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mpifl.clock.kernels.availability import count_online
from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline
from mpifl.clock.workload import Workload
from mpifl.job import Job
from mpifl.population.population import Population
from mpifl.seeds import Purpose, number
from mpifl.selection.checked import checked
from mpifl.stopwatch import UNWATCHED, Stopwatch

ONLINE_SAMPLE = 4096

TASK = np.dtype(
    [
        ("round", "<i4"),
        ("client", "<i8"),
        ("base", "<i4"),  # the model version that it trains from
        ("steps", "<i8"),  # of SGD
        ("samples", "<i8"),  # that those steps go through
        (
            "weight",
            "<f8",
        ),  # share of the mean; those of a round add up to 1 or, where late updates count less, to less
        ("state_round", "<i4"),  # the round after which the client last kept state; 0: it has none
    ]
)
"""One update to train. Rank 0 sets ``state_round`` when it sends the task: a plan may be made before that round is over."""


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


def make_plan(
    job: Job,
    population: Population,
    workload: Workload,
    round_number: int,
    state: ClockState,
    watch: Stopwatch = UNWATCHED,
) -> Plan:
    """The plan of the round that follows ``state``. Nothing is trained yet."""

    def choose(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        with watch("selection"):
            chosen = job.selection.choose_free(population, now, wanted, job.seed, draw, busy)
            return checked(job.selection.name, chosen, population, now, wanted, busy)

    with watch("clock"):
        call = Call(job.clock.updates(job.selection.participants), choose, population, workload)
        timeline, after = job.clock.advance(state, call)
        key = number(job.seed, Purpose.ONLINE, round_number)
        online = count_online(
            population.phones, population.clients, key, timeline.start_seconds, ONLINE_SAMPLE
        )
        return Plan(
            round_number, _tasks(timeline, job, population, round_number), timeline, after, online
        )


def largest_first(tasks: np.ndarray, stack: int) -> np.ndarray:
    """Tasks in the order in which executors take them, so that no rank is left with a long one at the end.

    With groups of up to ``stack`` tasks those of a round that have most samples are together; the largest group comes first.
    """
    ordered = tasks[np.lexsort((tasks["client"], -tasks["samples"], tasks["round"]))]
    begins = _begins(ordered["round"], stack)
    group = np.cumsum(begins) - 1
    samples = (
        np.add.reduceat(ordered["samples"], np.flatnonzero(begins))
        if len(tasks)
        else ordered["samples"]
    )
    return ordered[np.lexsort((group, -samples[group]))]


def task_groups(tasks: np.ndarray, stack: int) -> list[slice]:
    """The groups of tasks that are in the order of ``largest_first``."""
    begin = np.flatnonzero(_begins(tasks["round"], stack)).tolist()
    return [slice(a, b) for a, b in pairwise([*begin, len(tasks)])]


def _begins(rounds: np.ndarray, stack: int) -> np.ndarray:
    """Whether each task begins a group of its round: of ``stack`` tasks, and the last ones of half as many.

    Tasks of a round need not lie side by side. The small groups at the end let executors finish together.
    """
    order = np.argsort(rounds, kind="stable")
    _, first, counts = np.unique(rounds[order], return_index=True, return_counts=True)
    place = np.empty(len(rounds), np.int64)
    place[order] = np.arange(len(rounds)) - np.repeat(first, counts)
    whole = np.empty(len(rounds), np.int64)
    whole[order] = np.repeat(np.maximum(counts // stack - 1, 0) * stack, counts)
    half = -(-stack // 2)
    return np.where(place < whole, place % stack == 0, (place - whole) % half == 0)


def _tasks(timeline: Timeline, job: Job, population: Population, round_number: int) -> np.ndarray:
    """The completed participants as tasks."""
    rows = timeline.participants[timeline.participants["outcome"] == Outcome.COMPLETED]
    tasks = np.zeros(len(rows), TASK)
    tasks["round"] = round_number
    for name in ("client", "base", "steps", "samples"):
        tasks[name] = rows[name]
    weight = job.algorithm.weight(
        rows["samples"] if job.clock.weighs_work else population.samples(rows["client"])
    )
    tasks["weight"] = rows["factor"] * weight / weight.sum() if len(tasks) else weight
    return tasks
