"""What a job will take: transfers, computing, state, the memory of a rank, clients to test."""

from __future__ import annotations

import math

from rich.filesize import decimal

from mpifl.algorithms.arrays import BYTES_PER_NUMBER
from mpifl.clock.cost import Cost
from mpifl.errors import counted
from mpifl.population.sample_size import CONFIDENCE, clients_to_test, deviation_of
from mpifl.rounds.experiment import Experiment, TimingExperiment

BYTES_PER_SUM = 8

NEAR = 0.05
"""The deviation of a mean accuracy for which it is said how many clients it takes."""


def demands(experiment: TimingExperiment) -> list[str]:
    """Return in words what a job will take, one line each."""
    work = experiment.workload
    lines = [
        f"each participant: {decimal(work.bytes_down)} down, {decimal(work.bytes_up)} up;"
        f" computes {computing(work.cost)}"
    ]
    lacking = experiment.population.without_memory
    if experiment.job.population.memory_mb is not None:
        every = counted(experiment.population.clients, "client")
        lines.append(
            f"{lacking:,} of {every} have devices of less than"
            f" {experiment.job.population.memory_mb:g} MB and are never online"
        )
    if not isinstance(experiment, Experiment):
        return lines

    kept = BYTES_PER_NUMBER * sum(math.prod(shape) for shape in experiment.kept_shapes.values())
    if kept:
        clients = experiment.population.clients
        lines.append(
            f"each client that took part keeps {decimal(kept)} in the run directory:"
            f" {decimal(kept * clients)} if all of {counted(clients, 'client')} do, twice as much"
            " for those that take part again before the next checkpoint"
        )
    if experiment.job.clock.costs == "measured":
        job = experiment.job
        asked = job.clock.at_once(job.clock.updates(job.selection.participants))
        sizes = [math.prod(array.shape) for array in experiment.sums.arrays]
        update = BYTES_PER_NUMBER * (sum(sizes) + experiment.sums.averaged)
        lines.append(
            f"each rank keeps the updates of its share of {counted(asked, 'participant')} until"
            f" the round is settled: {decimal(update)} each"
        )
    version = BYTES_PER_NUMBER * sum(math.prod(s) for s in experiment.version_shapes.values())
    sums = BYTES_PER_SUM * sum(math.prod(shape) for shape in experiment.sums.shapes(1))
    lines.append(
        f"each rank, besides torch and samples: {decimal(version)} for a model version,"
        f" {decimal(sums)} for the sums of a round"
    )
    return lines + _sample(experiment)


def _sample(experiment: Experiment) -> list[str]:
    """Return in words how well the clients that are tested stand for all, if they are a sample."""
    wanted = experiment.job.evaluation.personal_clients
    clients = experiment.population.clients
    if wanted is None or wanted >= clients:
        return []
    tested = len(experiment.personal_clients)
    return [
        f"{tested:,} of {clients:,} clients are tested: their mean accuracy is within"
        f" {deviation_of(clients, tested):.2g} of that of all with a probability of"
        f" {CONFIDENCE:.0%}; that of {clients_to_test(clients, NEAR):,} would be within {NEAR:g}"
    ]


def computing(cost: Cost) -> str:
    """Return a cost in words."""
    parts = []
    if cost.training:
        times = "" if cost.training == 1 else f"{cost.training:g} times "
        parts.append(f"{times}its local steps")
    if cost.extra_steps:
        parts.append(counted(cost.extra_steps, "more step"))
    for passes, what in (
        (cost.gradients, "with gradients"),
        (cost.evaluations, "without gradients"),
    ):
        if passes:
            noun = "pass" if passes == 1 else "passes"
            parts.append(f"{passes:g} {noun} over its samples {what}")
    return ", ".join(parts) or "nothing"
