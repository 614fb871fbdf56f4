"""What coalitions are tested on, and the checks of a job that evaluates contributions."""

from __future__ import annotations

import numpy as np

from mpifl.algorithms.fedavg import FedAvg
from mpifl.errors import InputError, counted
from mpifl.job import Job
from mpifl.population.population import Population
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment
from mpifl.seeds import Purpose, generator


def check_contribution(job: Job) -> None:
    """Raise InputError for a job in which contributions cannot be evaluated."""
    rule = job.contribution
    if not rule.active:
        return
    key = f"contribution.name: {rule.name!r} is not allowed"
    if job.training.engine == "none":
        raise InputError(f"{key} with training.engine none, which trains nothing")
    if job.aggregation.name != "mean":
        raise InputError(
            f"{key} with aggregation.name {job.aggregation.name}: the model of some of the"
            " participants is made of their mean; allowed: mean"
        )
    if type(job.algorithm).server is not FedAvg.server:
        raise InputError(
            f"{key} with algorithm.name {job.algorithm.name}, whose server does more than to add"
            " the mean update; allowed: fedavg, and those that change its client only, such as"
            " fedprox"
        )
    if job.secure_aggregation.active:
        raise InputError(
            f"{key} with secure_aggregation.name {job.secure_aggregation.name}: the server learns"
            " the sum of all updates alone, and no model of some of them"
        )
    if job.privacy.private and not job.privacy.local:
        raise InputError(
            f"{key} with privacy.name {job.privacy.name}: what single updates were worth would be"
            " told without noise; allowed: none, and mechanisms of the clients"
        )
    if job.record.participants != "all":
        raise InputError(
            f"{key} with record.participants {job.record.participants}: contributions are columns"
            " of /participants; allowed: all"
        )
    most = rule.most()
    if most is not None:
        _check_count(job, most)


def _check_count(job: Job, most: int) -> None:
    """Raise InputError where a round may have more updates than a method takes."""
    where = f"not allowed with contribution.name {job.contribution.name}, which evaluates all 2^n"
    allowed = f"{most} or fewer, or gtg_shapley"
    if job.selection.varies:
        raise InputError(
            f"selection.name: {job.selection.name!r} is {where} coalitions: how many a round has is"
            " drawn; allowed: gtg_shapley, or another selection rule"
        )
    updates = job.clock.updates(job.selection.participants)
    if not job.clock.may_exceed:
        if updates > most:
            raise InputError(
                f"selection.participants: {updates} is {where} coalitions; allowed: {allowed}"
            )
        return
    at_once = job.clock.at_once(updates)
    if at_once > most:
        raise InputError(
            f"clock.mode: {job.clock.mode!r} is {where} coalitions: {at_once} may complete a round;"
            f" allowed: {allowed}"
        )


def check_judged(experiment: TimingExperiment) -> None:
    """Raise InputError where there is nothing to test coalitions on, or no such metric."""
    job = experiment.job
    rule = job.contribution
    if not rule.active or not isinstance(experiment, Experiment):
        return
    if experiment.sums.slots > 1 or experiment.sums.arrays[0].size != experiment.layout.trained:
        raise InputError(
            f"contribution.name: {rule.name!r} is not allowed with algorithm.name"
            f" {job.algorithm.name}, whose clients upload other things than an update of the model"
        )
    if experiment.objective.gathered:
        raise InputError(
            f"contribution.name: {rule.name!r} is not allowed with objective"
            f" {experiment.objective.name}, whose scores need all test samples at once"
        )
    metrics = experiment.metrics
    if rule.metric is not None and rule.metric not in metrics:
        raise InputError(
            f"contribution.metric: {rule.metric!r} is not what this job's tests give; allowed:"
            f" {', '.join(metrics)}"
        )
    _check_samples(job, experiment.population)


def _check_samples(job: Job, population: Population) -> None:
    rule = job.contribution
    data = population.data
    there = getattr(data, rule.part).samples
    if not there:
        raise InputError(
            f"contribution.part: {data.name} has no {rule.part} part; data.split makes one:"
            f" data.split.by=samples data.split.{rule.part}=0.1"
        )
    if rule.samples is not None and rule.samples > there:
        raise InputError(
            f"contribution.samples: {rule.samples} is not allowed: the {rule.part} part of"
            f" {data.name} has {counted(there, 'sample')}"
        )


def judged_samples(experiment: Experiment) -> int:
    """Return on how many samples coalitions are tested."""
    rule = experiment.job.contribution
    part = getattr(experiment.population.data, rule.part)
    return int(part.samples if rule.samples is None else rule.samples)


def judged_rows(experiment: Experiment) -> np.ndarray:
    """Return which samples of the part these are, (n,) int64, sorted."""
    rule = experiment.job.contribution
    part = getattr(experiment.population.data, rule.part)
    random = generator(experiment.job.seed, Purpose.CONTRIBUTION)
    return np.sort(random.permutation(part.samples)[: judged_samples(experiment)])
