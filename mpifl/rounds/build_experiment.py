"""From a job to an experiment: rank 0 reads, checks and builds; the other ranks open what it names.

Torch is imported for jobs that train, and for no others.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mpifl.algorithms.arrays import BYTES_PER_NUMBER, bytes_of
from mpifl.clock.cost import TRAINING_PER_INFERENCE
from mpifl.clock.workload import Workload
from mpifl.errors import InputError
from mpifl.job import Job, read_job
from mpifl.models.layout import Layout, layout_of
from mpifl.models.sized import Sized
from mpifl.population.build import open_population, prepare, resolved
from mpifl.population.population import Population, check_participants
from mpifl.rounds.experiment import Experiment, TimingExperiment
from mpifl.rounds.job_checks import (
    check_cohort,
    check_data,
    check_measured,
    check_model,
    check_server,
)
from mpifl.rounds.personal_clients import check_personal
from mpifl.seeds import Purpose, number

if TYPE_CHECKING:
    from mpifl.algorithms.algorithm import Algorithm


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
    check_measured(job)
    updates = job.clock.updates(job.selection.participants)

    data_path, trace_path = prepare(job)
    population = open_population(job, data_path, trace_path)
    check_participants(population, updates)
    check_cohort(job, population)

    return _experiment(resolved(job, population), population), data_path


def load_experiment(job: Job, data_path: Path | None, trace_path: Path | None) -> TimingExperiment:
    """Return the experiment of a job that was checked; an Experiment when it trains.

    For every rank. Executors need no trace.
    """
    return _experiment(job, open_population(job, data_path, trace_path))


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
    check_data(job, population.data)
    check_personal(job, population)
    check_model(job, population.data.shape)

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

    model_up = latency.model_bytes if latency.model_bytes_up is None else latency.model_bytes_up
    algorithm = job.algorithm
    received = algorithm.received_arrays(layout)
    uploaded = algorithm.uploaded_arrays(layout)
    averages = _bytes_of_averages(algorithm, layout)
    workload = Workload(
        bytes_down=bytes_of(received, layout, latency.model_bytes),
        bytes_up=bytes_of(uploaded, layout, model_up) + averages,
        batch_size=training.batch_size,
        epochs=training.epochs,
        local_steps=training.local_steps,
        inferences_per_sample=inferences,
        bits_per_kbit=float(latency.kbit),
        full_batches=latency.compute == "batches",
        drop_last=training.drops_last,
        cost=algorithm.cost(layout),
    )
    check_server(job, workload)
    return workload


def _bytes_of_averages(algorithm: Algorithm, layout: Layout) -> int:
    """Return the bytes of an averaged segment that is uploaded beside arrays of other sizes.

    Model-sized ones count it.
    """
    uploaded = algorithm.uploaded_arrays(layout)
    counted = any(array.of_model for array in uploaded.values())
    beside = algorithm.shares_averages and not counted
    return BYTES_PER_NUMBER * layout.averaged if beside else 0
