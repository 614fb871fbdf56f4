"""The plan of a round, made by selection and clock before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mpifl.clock.kernels.availability import count_online
from mpifl.clock.online import NOBODY
from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline
from mpifl.clock.workload import Workload
from mpifl.job import Job
from mpifl.population.population import Population
from mpifl.rounds.plan.asking import call_for, releases_empty
from mpifl.rounds.plan.probe import Probed
from mpifl.rounds.plan.securing import advance
from mpifl.seeds import Purpose, number
from mpifl.selection.context import NOT_PROBED
from mpifl.selection.feedback import State
from mpifl.stopwatch import UNWATCHED, Stopwatch

ONLINE_SAMPLE = 4096
"""How many clients are looked at to estimate how many are online."""

TASK = np.dtype(
    [
        ("round", "<i4"),
        ("client", "<i8"),
        ("began", "<i4"),  # the round in which it was asked: it keys what is random in its training
        ("base", "<i4"),  # the model version that it trains from
        ("staleness", "<i4"),  # versions that the model has moved on by when it counts
        ("steps", "<i8"),  # of SGD
        ("samples", "<i8"),  # that those steps go through
        ("sent", "<f8"),  # the share of what it would upload that it sends
        # Share of the mean. Those of a round add up to 1, or to less where late updates count less,
        # or where the weights are shares of those of all who are under way.
        ("weight", "<f8"),
        ("state_round", "<i4"),  # the round after which the client last kept state; 0: it has none
        ("attacks", "<u4"),  # bit i: the client takes part in the job's attack i
        ("kind", "<i4"),  # what the algorithm takes the client for (``Algorithm.kinds_of``)
    ]
)
"""One update to train. Rank 0 sets ``state_round``, ``attacks`` and ``kind`` when it sends the
task: a plan may be made before the round of that state is over."""


@dataclass(frozen=True)
class Plan:
    """A round: its ``tasks`` (structured TASK), its virtual time, and the clock ``after`` it.

    ``online`` is the number of clients that were online at its start, an estimate where there are
    more than ONLINE_SAMPLE clients.
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
    learned: State | None = None,
    watch: Stopwatch = UNWATCHED,
    probed: Probed | None = None,
) -> Plan:
    """Return the plan of a round, settled before it is trained.

    Args:
        job: Has the selection, the clock and the weights of the algorithm.
        population: The clients.
        workload: What the round costs a participant.
        round_number: From 1 on.
        state: The clock's state after the round before.
        learned: What the selection rule has learned from the rounds before; None before the first.
        watch: Counts the time of selection and clock.
        probed: The round's probe, and the losses (n,) of those who answered; None without one.
    """
    state = after_probe(state, probed)
    call = call_of(job, population, workload, round_number, state, learned, watch, probed)
    with watch("clock"):
        timeline, after = advance(job, round_number, state, call)
        return plan_of(job, population, round_number, timeline, after, probed)


def call_of(
    job: Job,
    population: Population,
    workload: Workload,
    round_number: int,
    state: ClockState,
    learned: State | None = None,
    watch: Stopwatch = UNWATCHED,
    probed: Probed | None = None,
) -> Call:
    """Return what the round policy is asked for a round; arguments are those of ``make_plan``.

    ``state`` is that of the clock at its beginning, after its probe.
    """
    rule = job.selection
    if learned is None:
        learned = rule.start(population, workload)
    workload = workload.of_round(round_number)
    told = NOT_PROBED
    holders = NOBODY
    if probed is not None:
        told = probed[0].answers(probed[1])
        holders = probed[0].clients
    return call_for(
        job,
        population,
        workload,
        round_number,
        learned,
        watch,
        rule.choose,
        orders=True,
        probed=told,
        holders=holders,
        charges=state.charges,
    )


def after_probe(state: ClockState, probed: Probed | None) -> ClockState:
    """Return the clock's state at which a round begins, given that after the round before."""
    return state if probed is None else probed[0].clock(state)


def plan_of(
    job: Job,
    population: Population,
    round_number: int,
    timeline: Timeline,
    after: ClockState,
    probed: Probed | None,
) -> Plan:
    """Return the plan of a round that the policy has settled."""
    if probed is not None:
        timeline = probed[0].before(timeline)
    key = number(job.seed, Purpose.ONLINE, round_number)
    online = count_online(
        population.phones, population.clients, key, timeline.start_seconds, ONLINE_SAMPLE
    )
    tasks = _tasks(timeline, after, job, population, round_number)
    return Plan(round_number, tasks, timeline, after, online)


def is_released(job: Job, plan: Plan) -> bool:
    """Return whether a round has a model of its own, as the clock has counted."""
    return len(plan.tasks) > 0 or (releases_empty(job) and not len(plan.timeline.participants))


def largest_first(tasks: np.ndarray, stack: int) -> np.ndarray:
    """Return tasks in the order in which executors take them: the group with most samples first.

    Groups have up to ``stack`` tasks of one round, and a round's tasks with most samples are
    together. The largest first, so that no rank is left with a long group at the end.
    """
    ordered = tasks[np.lexsort((tasks["client"], -tasks["samples"], tasks["round"]))]
    starts = _group_starts(ordered["round"], stack)
    group = np.cumsum(starts) - 1

    samples = ordered["samples"]
    if len(tasks):
        samples = np.add.reduceat(samples, np.flatnonzero(starts))
    return ordered[np.lexsort((group, -samples[group]))]


def task_groups(tasks: np.ndarray, stack: int) -> list[slice]:
    """Return the groups of tasks that are in the order of ``largest_first``."""
    starts = np.flatnonzero(_group_starts(tasks["round"], stack)).tolist()
    return [slice(start, stop) for start, stop in pairwise([*starts, len(tasks)])]


def _group_starts(rounds: np.ndarray, stack: int) -> np.ndarray:
    """Return for each task (given by its round) whether it begins a group, (tasks,) bool.

    Groups have ``stack`` tasks, the last ones of a round half as many: small groups at the end let
    executors finish together. The tasks of a round need not lie side by side.
    """
    order = np.argsort(rounds, kind="stable")
    _, first, counts = np.unique(rounds[order], return_index=True, return_counts=True)

    # The place of each task within its round.
    place = np.empty(len(rounds), np.int64)
    place[order] = np.arange(len(rounds)) - np.repeat(first, counts)

    # How many tasks of its round are in groups of full size.
    in_full_groups = np.empty(len(rounds), np.int64)
    in_full_groups[order] = np.repeat(np.maximum(counts // stack - 1, 0) * stack, counts)

    half = -(-stack // 2)
    return np.where(
        place < in_full_groups, place % stack == 0, (place - in_full_groups) % half == 0
    )


def _tasks(
    timeline: Timeline, after: ClockState, job: Job, population: Population, round_number: int
) -> np.ndarray:
    """Return a task (structured TASK) for each participant that completes the round."""
    rows = timeline.participants[timeline.participants["outcome"] == Outcome.COMPLETED]
    tasks = np.zeros(len(rows), TASK)
    tasks["round"] = round_number
    for name in ("client", "began", "base", "staleness", "steps", "samples", "sent"):
        tasks[name] = rows[name]

    by_work = job.clock.weighs_work and job.algorithm.weighs_work
    held = population.samples(rows["client"])
    weight = _weights(job, held, rows["samples"] if by_work else held)
    whole = weight
    if job.clock.shares_of_all:
        everyone = population.samples(np.union1d(rows["client"], after.flights["client"]))
        whole = _weights(job, everyone, everyone)
    tasks["weight"] = rows["factor"] * weight / whole.sum() if len(tasks) else weight
    return tasks


def _weights(job: Job, held: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Return the weights (n,), in proportion, of clients that hold and use so many samples."""
    bounded = job.privacy.weight(held)
    return job.algorithm.weight(used) if bounded is None else bounded
