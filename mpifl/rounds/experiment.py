"""Everything that a rank needs in order to take part in a job."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Part
from mpifl.job import Job
from mpifl.population.population import Population

if TYPE_CHECKING:
    from mpifl.models.flat import FlatModel
    from mpifl.objectives.objective import Objective


@dataclass(frozen=True)
class TimingExperiment:
    """A job, its population, and what a participant's round costs: enough to make plans."""

    job: Job
    population: Population
    workload: Workload


@dataclass(frozen=True)
class Experiment(TimingExperiment):
    """A job that trains: with its model and objective as well.

    ``model`` is trained in. ``initial`` are its weights before the first round, (n,) float32.
    ``objective`` is the loss and the scores. ``fingerprint`` holds the hashes of the model as it
    was built (``mpifl/models/fingerprint.py``).
    """

    model: FlatModel
    initial: np.ndarray
    objective: Objective
    fingerprint: Mapping[str, str]

    @property
    def stack(self) -> int:
        """The most participants that a group has."""
        return self.job.training.stack or 1

    @property
    def tested_part(self) -> Part:
        """The part of the data set on which the global model is tested."""
        part: Part = getattr(self.population.data, self.job.evaluation.part)
        return part

    @property
    def shards(self) -> int:
        """Number of shards of the tested part, each of ``evaluation.batch_size`` samples."""
        return math.ceil(self.tested_part.samples / self.job.evaluation.batch_size)
