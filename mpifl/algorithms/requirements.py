"""What some algorithms need of the rest of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpifl.errors import InputError
from mpifl.job import Job

if TYPE_CHECKING:
    from mpifl.algorithms.algorithm import Algorithm


def needs_one_base(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for a clock with which participants train from different models."""
    if job.clock.asynchronous:
        raise InputError(
            f"clock.mode: {job.clock.mode} is not allowed: {algorithm.name} needs rounds in which"
            " all participants train from the same model (sync, ...)"
        )


def needs_no_clipping(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for gradients that are clipped."""
    for key in ("clip_value", "clip_norm"):
        bound = getattr(job.training, key)
        if bound is not None:
            raise InputError(
                f"training.{key}: {bound:g} is not allowed: {algorithm.name} with these options"
                " assumes gradients that are not clipped; leave it out"
            )


def needs_plain_sgd(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for local steps that are not ``w -= lr g``."""
    optimizer = job.training.optimizer
    if optimizer.pull != 0:
        raise InputError(
            f"training.optimizer: {optimizer.name!r} with these options is not allowed:"
            f" {algorithm.name} assumes plain SGD; allowed: sgd without momentum and weight_decay"
        )


def needs_bare_steps(algorithm: Algorithm, job: Job) -> None:
    """Raise InputError for local steps that are not ``w -= lr g``, all with the round's rate."""
    needs_plain_sgd(algorithm, job)
    needs_no_clipping(algorithm, job)
    decay = job.training.lr_decay
    if decay != 1.0:
        raise InputError(
            f"training.lr_decay: {decay:g} is not allowed: {algorithm.name} assumes one learning"
            " rate for all steps of a round; allowed: 1"
        )
