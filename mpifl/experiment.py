"""Everything that a rank needs to take part in a job."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mpifl.clock.workload import Workload
from mpifl.job import Job
from mpifl.population.population import Population

if TYPE_CHECKING:
    from mpifl.models.flat import FlatModel


@dataclass(frozen=True)
class Timed:
    """A job, its population, and what a participant's round costs: enough to make plans."""

    job: Job
    population: Population
    workload: Workload


@dataclass(frozen=True)
class Experiment(Timed):
    """And the model to work in, with its initial weights (n,) float32: enough to train."""

    model: FlatModel
    initial: np.ndarray

    @property
    def shards(self) -> int:
        """How many shards the test part has."""
        return math.ceil(len(self.population.data.test.y) / self.job.evaluation.batch_size)
