"""Checks of what a job needs, against the memory of this host."""

from __future__ import annotations

import os

from mpifl.algorithms.arrays import BYTES_PER_NUMBER
from mpifl.clock.asynchronous import Asynchronous
from mpifl.clock.timeline import PARTICIPANT
from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError, counted
from mpifl.job import Job
from mpifl.population.population import Population


def check_cohort(job: Job, population: Population) -> None:
    """Raise InputError for more participants at a time than there is memory for."""
    updates = job.clock.updates(job.selection.participants)
    rows = min(population.clients, job.clock.at_once(updates))

    key = f"selection.participants: {updates}"
    if isinstance(job.clock, Asynchronous):
        key = f"clock.concurrency: {job.clock.concurrency}"
    _check_memory(key, f"{counted(rows, 'participant')} at a time", rows * PARTICIPANT.itemsize)


def check_model(job: Job, shape: DataShape) -> None:
    """Raise InputError for a model that does not fit into this host's memory.

    For that it is built once without memory. A class of the user's own may not work so, and is left
    alone.
    """
    from mpifl.models.adapted import adapted
    from mpifl.models.shapes_only import shapes_only

    if not type(job.model).__module__.startswith("mpifl."):
        return

    try:
        with shapes_only():
            module = job.model.build_checked(shape)
            module = adapted(module, job.model, shape.task, job.algorithm.merges_adapters)
    except (RuntimeError, TypeError, OverflowError) as error:
        reason = str(error).split(chr(10))[0]
        raise InputError(
            f"model.name: {job.model.name!r} is not allowed: it cannot be built ({reason})"
        ) from error

    parameters = [*module.parameters()]
    weights = sum(tensor.numel() for tensor in parameters)
    size = 2 * BYTES_PER_NUMBER * weights
    if job.model.lora is not None:  # a base is there once
        trained = sum(tensor.numel() for tensor in parameters if tensor.requires_grad)
        size = sum(tensor.nbytes for tensor in parameters) + BYTES_PER_NUMBER * trained
    _check_memory(f"model.name: {job.model.name!r}", counted(weights, "weight"), size)


def _check_memory(key: str, things: str, size: float) -> None:
    """Raise InputError where ``things`` need more memory (``size`` bytes) than the host has."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise InputError(
            f"{key} is not allowed: {things} need {size / 1e9:,.0f} GB of memory; this host has"
            f" {memory / 1e9:,.0f} GB"
        )
