"""Everything that a rank needs to take part in a job, from the job and the files that rank 0 has named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mpifl.clock.workload import Workload
from mpifl.job import Job, read_job
from mpifl.models.flat import FlatModel, flatten
from mpifl.population.build import open_population, prepare, resolved
from mpifl.population.population import Population, check_participants
from mpifl.seeds import Purpose, number

BYTES_PER_WEIGHT = 4


@dataclass(frozen=True)
class Experiment:
    """A job, its population, the model to work in, its initial weights (n,) float32, and what a participant's round costs."""

    job: Job
    population: Population
    model: FlatModel
    initial: np.ndarray
    workload: Workload

    @property
    def shards(self) -> int:
        """How many shards the test part has."""
        return math.ceil(len(self.population.dataset.test.y) / self.job.evaluation.batch_size)


def check(where: str, overrides: Sequence[str]) -> tuple[Experiment, Path, Path]:
    """On rank 0 or before any rank: read and check a job whole, build what it needs.

    Returns the experiment with its job resolved, and the files of its data and trace. Raises InputError.
    """
    job = read_job(where, overrides)
    data_path, trace_path = prepare(job)
    experiment = load(resolved(job, open_population(job, data_path, trace_path)), data_path, trace_path)
    check_participants(experiment.population, job.selection.participants)
    job.algorithm.check(job)
    job.clock.check(job.selection.participants)
    return experiment, data_path, trace_path


def load(job: Job, data_path: Path, trace_path: Path) -> Experiment:
    """On every rank: the experiment of a job that was checked."""
    torch.set_num_threads(job.training.threads)
    population = open_population(job, data_path, trace_path)
    torch.manual_seed(number(job.seed, Purpose.MODEL))
    model = flatten(job.model.build(population.dataset.sample_shape, population.dataset.classes))
    vector = BYTES_PER_WEIGHT * len(model.weights)
    workload = Workload(
        bytes_down=vector * len(job.algorithm.sent),
        bytes_up=vector * len(job.algorithm.summed),
        batch_size=job.training.batch_size,
        epochs=job.training.epochs,
        local_steps=job.training.local_steps,
    )
    return Experiment(job, population, model, model.weights.numpy().copy(), workload)
