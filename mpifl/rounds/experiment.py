"""Everything that a rank needs to take part in a job."""

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
    """And the model to work in, its initial weights (n,) float32 and what it is to learn: enough to train.

    ``fingerprint`` holds the hashes (mpifl/models/fingerprint.py) of the model as it was built.
    """

    model: FlatModel
    initial: np.ndarray
    objective: Objective
    fingerprint: Mapping[str, str]

    @property
    def stack(self) -> int:
        """How many participants a group has at most."""
        return self.job.training.stack or 1

    @property
    def tested_part(self) -> Part:
        """What the global model is tested on."""
        part: Part = getattr(self.population.data, self.job.evaluation.part)
        return part

    @property
    def shards(self) -> int:
        """How many shards that has."""
        return math.ceil(self.tested_part.samples / self.job.evaluation.batch_size)
