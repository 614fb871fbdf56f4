"""Checks of a job as a whole: what its sections ask of each other, of the data and of this host."""

from __future__ import annotations

import os

from mpifl.algorithms.arrays import BYTES_PER_NUMBER
from mpifl.clock.asynchronous import Asynchronous
from mpifl.clock.timeline import PARTICIPANT
from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Dataset, DataShape
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.population.population import Population

LONGEST_TRANSFER_SECONDS = 1e7


def check_measured(job: Job) -> None:
    """Raise InputError where costs are to be measured and cannot be, or have to be and are not."""
    measured = job.clock.costs == "measured"
    if measured and job.training.engine == "none":
        raise InputError(
            "clock.costs: 'measured' is not allowed with training.engine none; allowed: declared"
        )
    if job.training.early_stop is None:
        return
    if not measured:
        raise InputError(
            f"training.early_stop: {job.training.early_stop:g} is not allowed with clock.costs"
            " declared: who stops early is known when all have been trained; set clock.costs to"
            " measured"
        )
    if job.training.epochs is None:
        raise InputError(
            f"training.early_stop: {job.training.early_stop:g} is not allowed with"
            " training.local_steps; give epochs"
        )


def check_cohort(job: Job, population: Population) -> None:
    """Raise InputError for more participants at a time than there is memory for."""
    updates = job.clock.updates(job.selection.participants)
    rows = min(population.clients, job.clock.at_once(updates))

    key = f"selection.participants: {updates}"
    if isinstance(job.clock, Asynchronous):
        key = f"clock.concurrency: {job.clock.concurrency}"
    _check_memory(key, f"{rows:,} participants at a time", rows * PARTICIPANT.itemsize)


def _check_memory(key: str, things: str, size: float) -> None:
    """Raise InputError where ``things`` need more memory (``size`` bytes) than the host has."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise InputError(
            f"{key} is not allowed: {things} need {size / 1e9:,.0f} GB of memory; this host has"
            f" {memory / 1e9:,.0f} GB"
        )


def check_server(job: Job, workload: Workload) -> None:
    """Raise InputError for a server that would take months to transfer one model.

    In so long a round too much happens to phones.
    """
    transfers = (
        ("server_down_kbps", workload.bytes_down),
        ("server_up_kbps", workload.bytes_up),
    )
    for key, size in transfers:
        kbps = getattr(job.clock.latency, key)
        if kbps is None:
            continue
        if size * 8 / workload.bits_per_kbit / kbps > LONGEST_TRANSFER_SECONDS:
            raise InputError(
                f"clock.latency.{key}: {kbps:g} is not allowed: the {size:,} bytes of one"
                f" participant would take more than {LONGEST_TRANSFER_SECONDS:g} s"
            )


def check_model(job: Job, shape: DataShape) -> None:
    """Raise InputError for a model that does not fit into this host's memory.

    For that it is built once without memory. A class of the user's own may not work so, and is left
    alone.
    """
    import torch

    if not type(job.model).__module__.startswith("mpifl."):
        return

    try:
        with torch.device("meta"):
            weights = sum(tensor.numel() for tensor in job.model.build_checked(shape).parameters())
    except (RuntimeError, TypeError, OverflowError) as error:
        reason = str(error).split(chr(10))[0]
        raise InputError(
            f"model.name: {job.model.name!r} is not allowed: it cannot be built ({reason})"
        ) from error

    size = 2 * BYTES_PER_NUMBER * weights
    _check_memory(f"model.name: {job.model.name!r}", f"{weights:,} weights", size)


def check_data(job: Job, data: Dataset) -> None:
    """Raise InputError when there is nothing to train on, or nothing to test on."""
    if job.training.engine == "none":
        return

    if 0 in data.train.x.shape:
        raise InputError(
            f"training.engine: {job.training.engine!r} is not allowed: {data.name} has no features;"
            " allowed: none"
        )
    if job.evaluation.part not in data.parts:
        raise InputError(
            f"evaluation.part: {data.name} has no {job.evaluation.part} part; data.split makes one:"
            f" data.split.by=clients data.split.{job.evaluation.part}=0.1"
        )
    _check_tested_clients(job, data)


def _check_tested_clients(job: Job, data: Dataset) -> None:
    """Raise InputError when single clients are to be tested on samples that belong to no client.

    A part that was published with one client, where train has several, is such a pool of samples. A
    part that data.split has made is not.
    """
    name = job.evaluation.part
    split = job.data.split
    part = data.parts[name]
    made_by_split = split.by != "published" and getattr(split, name) > 0
    is_pool = part.clients == 1 < data.train.clients and not made_by_split

    if job.evaluation.per_client and is_pool:
        raise InputError(
            f"evaluation.per_client: true is not allowed: the {name} part of {data.name} is one"
            f" pool of {part.samples:,} samples that belong to none of its"
            f" {data.train.clients:,} clients; leave it out, or give clients a part of"
            f" their own: data.split.by=samples (or clients) data.split.{name}=0.1"
        )
