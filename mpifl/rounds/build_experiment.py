"""From a job to an experiment: rank 0 reads, checks and builds; the other ranks open what it names.

Torch is imported for jobs that train, and for no others.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mpifl.algorithms.arrays import BYTES_PER_NUMBER, bytes_of
from mpifl.clock.asynchronous import Asynchronous
from mpifl.clock.cost import TRAINING_PER_INFERENCE
from mpifl.clock.timeline import PARTICIPANT
from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Dataset, DataShape
from mpifl.errors import InputError
from mpifl.job import Job, read_job
from mpifl.models.layout import Layout, layout_of
from mpifl.models.sized import Sized
from mpifl.population.build import open_population, prepare, resolved
from mpifl.population.population import Population, check_participants
from mpifl.rounds.experiment import Experiment, TimingExperiment
from mpifl.rounds.personal_clients import check_personal
from mpifl.seeds import Purpose, number

if TYPE_CHECKING:
    from mpifl.algorithms.algorithm import Algorithm

LONGEST_TRANSFER_SECONDS = 1e7


def check_job(job_name: str, overrides: Sequence[str]) -> tuple[TimingExperiment, Path | None]:
    """Read a job, check it whole and build what it needs; on rank 0, or before any rank.

    Args:
        job_name: A job file, or the name of a job that ships with mpifl.
        overrides: ``section.key=value`` each.

    Returns:
        The experiment with its job resolved, and the file of its data (None where there is none).

    Raises:
        InputError: When the job or an input is wrong.
    """
    job = read_job(job_name, overrides)
    job.algorithm.check(job)
    job.clock.check()
    job.selection.check(job)
    updates = job.clock.updates(job.selection.participants)

    data_path, trace_path = prepare(job)
    population = open_population(job, data_path, trace_path)
    check_participants(population, updates)
    _check_cohort(job, population)

    return _experiment(resolved(job, population), population), data_path


def load_experiment(job: Job, data_path: Path | None, trace_path: Path | None) -> TimingExperiment:
    """Return the experiment of a job that was checked; an Experiment when it trains.

    For every rank. Executors need no trace.
    """
    return _experiment(job, open_population(job, data_path, trace_path))


def _check_cohort(job: Job, population: Population) -> None:
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


def _check_server(job: Job, workload: Workload) -> None:
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


def _check_model(job: Job, shape: DataShape) -> None:
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


def _experiment(job: Job, population: Population) -> TimingExperiment:
    """Return the experiment of a resolved job, with a model where it needs one."""
    if job.training.engine == "none" and isinstance(job.model, Sized):
        workload = _workload(job, Layout(job.model.parameters), job.model.training_flops)
        return TimingExperiment(job, population, workload)
    return _experiment_with_model(job, population)


def _experiment_with_model(job: Job, population: Population) -> TimingExperiment:
    """Build the model of a job; return an Experiment, unless the job does not train it."""
    import torch

    from mpifl.models.fingerprint import fingerprint
    from mpifl.models.flat import flatten
    from mpifl.models.flops import training_flops
    from mpifl.objectives.make import make_objective
    from mpifl.rounds.batch_norm import check_batch_norm
    from mpifl.training.allocator import keep_freed_memory
    from mpifl.training.choice import check_single_samples, chosen, with_drop_last

    if population.dataset is None or population.dataset.task == "none":
        raise InputError(
            f"model.name: {job.model.name!r} is not allowed: the data have sizes only, no samples;"
            " allowed: sized"
        )
    _check_data(job, population.data)
    check_personal(job, population)
    _check_model(job, population.data.shape)

    keep_freed_memory()
    torch.set_num_threads(job.training.threads)
    _seed_global_generators(number(job.seed, Purpose.MODEL))
    module = job.model.build_checked(population.data.shape)
    hashes = fingerprint(module)
    model = flatten(module)
    if not len(model.gradient):
        raise InputError(
            f"model.name: {job.model.name!r} is not allowed: it has no parameters to train"
        )

    job = job.model_copy(update={"training": with_drop_last(job.training, model)})
    check_batch_norm(job, model, population)
    counts_flops = job.clock.latency.compute == "flops"
    flops = training_flops(model, population.data.shape) if counts_flops else 0.0
    workload = _workload(job, layout_of(model), flops)
    if job.training.engine == "none":
        return TimingExperiment(job, population, workload)

    job.training.transform.check(population.data)
    objective = make_objective(job.training, population.data)
    if job.runtime.on_client_error == "abort":
        check_single_samples(job.training, model, population)
    training = chosen(job.training, model, objective, population.data)
    return Experiment(
        job=job.model_copy(update={"training": training}),
        population=population,
        workload=workload,
        model=model,
        initial=model.moving.numpy().copy(),
        objective=objective,
        fingerprint=hashes,
    )


def _seed_global_generators(seed: int) -> None:
    """Seed the generators of torch, numpy and random: a model may draw from them when built."""
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (the one that a module may draw from)
    random.seed(seed)


def _check_data(job: Job, data: Dataset) -> None:
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


def _workload(job: Job, layout: Layout, flops: float) -> Workload:
    """Return what a round costs a participant.

    ``layout`` is that of the model, ``flops`` what training takes for one sample.
    """
    latency = job.clock.latency
    training = job.training

    inferences = TRAINING_PER_INFERENCE
    if latency.compute == "flops":
        if not flops > 0:
            raise InputError(
                "model.training_flops: 0 is not allowed with clock.latency.compute: flops; allowed:"
                " numbers above 0"
            )
        inferences = flops / latency.reference_flops

    algorithm = job.algorithm
    received = algorithm.received_arrays(layout)
    uploaded = algorithm.uploaded_arrays(layout)
    averages = _bytes_of_averages(algorithm, layout)
    workload = Workload(
        bytes_down=bytes_of(received, layout, latency.model_bytes),
        bytes_up=bytes_of(uploaded, layout, latency.model_bytes) + averages,
        batch_size=training.batch_size,
        epochs=training.epochs,
        local_steps=training.local_steps,
        inferences_per_sample=inferences,
        bits_per_kbit=float(latency.kbit),
        full_batches=latency.compute == "batches",
        drop_last=training.drops_last,
        cost=algorithm.cost(layout),
    )
    _check_server(job, workload)
    return workload


def _bytes_of_averages(algorithm: Algorithm, layout: Layout) -> int:
    """Return the bytes of an averaged segment that is uploaded beside arrays of other sizes.

    Model-sized ones count it.
    """
    uploaded = algorithm.uploaded_arrays(layout)
    counted = any(array.of_model for array in uploaded.values())
    beside = algorithm.shares_averages and not counted
    return BYTES_PER_NUMBER * layout.averaged if beside else 0
