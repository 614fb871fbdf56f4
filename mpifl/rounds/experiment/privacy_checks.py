"""Checks of a job with ``privacy``: what goes with its mechanism."""

from __future__ import annotations

from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.population.population import Population
from mpifl.privacy.central import Central
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment


def check_privacy(job: Job, population: Population) -> None:
    """Raise InputError where the job's mechanism does not go with the rest of it."""
    if job.privacy.private and job.algorithm.kinds > 1:
        raise InputError(
            f"algorithm.name: {job.algorithm.name!r} is not allowed with privacy.name"
            f" {job.privacy.name}: its clients send parts of the model, each of its own size;"
            " allowed: algorithms such as fedavg"
        )
    if job.privacy.private and job.algorithm.uploads_model:
        raise InputError(
            f"algorithm.name: {job.algorithm.name!r} is not allowed with privacy.name"
            f" {job.privacy.name}: its clients upload models, and what is bounded is a change of"
            " one; allowed: algorithms such as fedavg"
        )
    job.privacy.check(job, population)


def check_private(experiment: TimingExperiment) -> None:
    """Raise InputError where clients send something that the job's mechanism does not protect."""
    job = experiment.job
    if not (job.privacy.private and isinstance(experiment, Experiment)):
        return
    where = f"not allowed with privacy.name {job.privacy.name}"
    sums = experiment.sums
    if len(sums.arrays) != 1 or sums.slots != 1:
        sent = ", ".join(array.name for array in sums.arrays) or "nothing"
        several = f" into {sums.slots} sums" if sums.slots > 1 else ""
        raise InputError(
            f"algorithm.name: {job.algorithm.name!r} is {where}: it uploads {sent}{several};"
            " allowed: those that upload one array, into one sum"
        )
    if job.privacy.of_model and sums.arrays[0].size != experiment.layout.trained:
        raise InputError(
            f"algorithm.name: {job.algorithm.name!r} is {where}: it uploads {sums.arrays[0].name},"
            " which is not an update of the whole model; allowed: algorithms such as fedavg"
        )
    if sums.averaged:
        raise InputError(
            f"model.name: {job.model.name!r} is {where}: its running statistics of batch norm are"
            " uploaded and have no noise; allowed: a model without them, as with norm: group, or"
            " algorithm.name fedbn, whose clients keep them"
        )
    if isinstance(job.privacy, Central):
        job.privacy.check_units(job, sums.arrays[0].size, sums.arrays[0].bits)
        if experiment.steered is not None:
            job.privacy.shares(job.clock.updates(job.selection.participants))
