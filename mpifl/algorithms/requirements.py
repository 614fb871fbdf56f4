"""What some algorithms need of the rest of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mpifl.errors import InputError, counted
from mpifl.job import Job
from mpifl.population.population import Population

if TYPE_CHECKING:
    from mpifl.algorithms.algorithm import Algorithm


MOST_CLIENTS = 1_000_000
"""The most clients of each of which an algorithm's server keeps numbers."""


def needs_small_population(algorithm: Algorithm, population: Population) -> None:
    """Raise InputError for more clients than the server can keep numbers of."""
    if population.clients > MOST_CLIENTS:
        raise InputError(
            f"algorithm.name: {algorithm.name!r} is not allowed with"
            f" {counted(population.clients, 'client')}: its server keeps numbers of each; allowed:"
            f" {MOST_CLIENTS:,} clients or fewer"
        )


def needs_classes(algorithm: Algorithm, population: Population) -> None:
    """Raise InputError for samples without a class each."""
    data = population.dataset
    if data is not None and data.task not in ("classification", "none"):
        raise InputError(
            f"algorithm.name: {algorithm.name!r} is not allowed: it needs data with classes, and"
            f" {data.name} is for {data.task}"
        )


def needs_own_validation(algorithm: Algorithm, population: Population) -> None:
    """Raise InputError where no client has samples of its own to validate on."""
    data = population.dataset
    if data is None:
        return
    if "validation" in data.parts and np.isin(data.validation.client, data.train.client).any():
        return
    raise InputError(
        f"algorithm.name: {algorithm.name!r} is not allowed: no client of {data.name} has samples"
        " of a validation part; give them some: data.split.by=samples data.split.validation=0.2"
    )


def needs_no_smoothing(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for targets that give a share to classes which a client lacks."""
    smoothing = job.training.label_smoothing
    if smoothing:
        raise InputError(
            f"training.label_smoothing: {smoothing:g} is not allowed with algorithm.name"
            f" {algorithm.name}, by which classes that a client lacks have no probability: the loss"
            " would be infinite; allowed: 0"
        )


def needs_one_base(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for a clock with which participants train from different models."""
    if job.clock.asynchronous:
        raise InputError(
            f"clock.mode: {job.clock.mode!r} is not allowed with algorithm.name {algorithm.name},"
            " which needs rounds in which all participants train from the same model; allowed:"
            " sync, all, deadline"
        )


def needs_open_updates(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError where the server learns the sum of the updates alone."""
    protocol = job.secure_aggregation
    if protocol.active:
        raise InputError(
            f"algorithm.name: {algorithm.name!r} is not allowed with secure_aggregation.name"
            f" {protocol.name}: its server looks at what single clients send; allowed: algorithms"
            " such as fedavg"
        )


def needs_models_as_kept(
    algorithm: Algorithm, job: Job, does: str = "sends clients' models to others"
) -> None:
    """Raise InputError for a job in which others do not get of a client what it keeps.

    For algorithms whose clients or server look at what others kept (``Algorithm.needs_others``).
    ``does`` is what the server does with it.
    """
    needs_one_base(algorithm, job)
    needs_open_updates(algorithm, job)
    needs_sums(algorithm, job)
    why = f"not allowed with algorithm.name {algorithm.name}, whose server {does} as they keep them"
    if job.exchange.up or job.exchange.down:
        key = "exchange.up" if job.exchange.up else "exchange.down"
        raise InputError(f"{key}: {why}; leave it out")
    if job.privacy.private:
        raise InputError(f"privacy.name: {job.privacy.name!r} is {why}; allowed: none")
    for place, attack in enumerate(job.attacks):
        if attack.alters:
            raise InputError(
                f"attacks.{place}.name: {attack.name!r} is {why}; allowed: attacks on samples"
                " (label_flip, ...)"
            )


def needs_sums(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for a rule whose result is not the sum over all participants."""
    rule = job.aggregation
    if rule.needs_updates:
        raise InputError(
            f"aggregation.name: {rule.name!r} is not allowed with algorithm.name {algorithm.name},"
            " whose server needs a sum over all participants; allowed: mean"
        )


def needs_no_privacy(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for noise, or a bound, where what one round loses stays in later ones."""
    mechanism = job.privacy
    if mechanism.private:
        raise InputError(
            f"privacy.name: {mechanism.name!r} is not allowed with algorithm.name {algorithm.name}:"
            " its server adds up what all rounds sent, and with it their noise; allowed: none"
        )


def needs_means_of_the_same(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for a rule that may weigh the updates of two means differently."""
    rule = job.aggregation
    if rule.by_entry or rule.rescales:
        does = "decides entry by entry" if rule.by_entry else "changes the length of updates"
        raise InputError(
            f"aggregation.name: {rule.name!r} is not allowed with algorithm.name {algorithm.name},"
            f" whose server divides or multiplies one mean by another: the rule {does}; allowed:"
            " mean, krum, ..."
        )


def needs_no_clipping(algorithm: Algorithm, job: Job, option: str = "") -> None:
    """Raise InputError for gradients that are clipped.

    ``option`` is the one of the algorithm, with its value, without which they may be.
    """
    beside = f" and {option}" if option else ""
    _refuse_clipping(job, f"{algorithm.name}{beside}, which assumes gradients that are not clipped")


def _refuse_clipping(job: Job, algorithm: str) -> None:
    """Raise InputError for gradients that are clipped; ``algorithm`` says with what, and why."""
    for key in ("clip_value", "clip_norm"):
        bound = getattr(job.training, key)
        if bound is not None:
            raise InputError(
                f"training.{key}: {bound:g} is not allowed with algorithm.name {algorithm}; leave"
                " it out"
            )


def needs_no_early_stop(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for epochs that end training, where it is not made in epochs."""
    share = job.training.early_stop
    if share is not None:
        raise InputError(
            f"training.early_stop: {share:g} is not allowed with algorithm.name {algorithm.name},"
            " which does not train in epochs; leave it out"
        )


def needs_samples_as_they_are(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for a transform, which changes minibatches of local steps only."""
    transform = job.training.transform
    if transform.changes:
        raise InputError(
            f"training.transform.name: {transform.name!r} is not allowed with algorithm.name"
            f" {algorithm.name}, which makes no local steps and takes samples as they are; allowed:"
            " none"
        )


def needs_plain_sgd(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for local steps that are not ``w -= lr g``."""
    _refuse_optimizer(job, f": {algorithm.name} assumes plain SGD")


def _refuse_optimizer(job: Job, why: str) -> None:
    """Raise InputError for an optimizer that is not plain SGD; ``why`` ends "is not allowed"."""
    optimizer = job.training.optimizer
    if optimizer.pull != 0:
        raise InputError(
            f"training.optimizer: {optimizer.name!r} with these options is not allowed{why};"
            " allowed: sgd without momentum and weight_decay"
        )


def needs_no_steps(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for keys of local steps, where clients make none."""
    _refuse_optimizer(job, f" with algorithm.name {algorithm.name}, which makes no local steps")
    _refuse_clipping(job, f"{algorithm.name}, which makes no local steps: nothing is clipped")
    needs_samples_as_they_are(algorithm, job)
    needs_no_early_stop(algorithm, job)


def needs_one_rate(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for local steps of several learning rates."""
    decay = job.training.lr_decay
    if decay != 1.0:
        raise InputError(
            f"training.lr_decay: {decay:g} is not allowed: {algorithm.name} assumes one learning"
            " rate for all steps of a round; allowed: 1"
        )


def needs_bare_steps(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for local steps that are not ``w -= lr g``, all with the round's rate."""
    needs_plain_sgd(algorithm, job)
    needs_no_clipping(algorithm, job)
    needs_one_rate(algorithm, job)
