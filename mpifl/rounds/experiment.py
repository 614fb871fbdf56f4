"""Everything that a rank needs in order to take part in a job."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mpifl.aggregation.sum_layout import SumLayout, Summed
from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Part
from mpifl.job import Job
from mpifl.models.layout import Layout, layout_of
from mpifl.population.population import Population
from mpifl.rounds.personal_clients import personal_clients, test_rows
from mpifl.rounds.round_result import STATISTICS

if TYPE_CHECKING:
    from mpifl.algorithms.algorithm import Algorithm
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

    Attributes:
        model: A model to train in.
        initial: Its weights before the first round, (size,) float32.
        objective: The loss and the scores.
        fingerprint: The hashes of the model as it was built (``mpifl/models/fingerprint.py``).
        layout: Where the model's tensors lie in its vector.
        sums: Where the arrays that participants upload lie in the sums of a round.
    """

    model: FlatModel
    initial: np.ndarray
    objective: Objective
    fingerprint: Mapping[str, str]
    layout: Layout = field(init=False)
    sums: SumLayout = field(init=False)

    def __post_init__(self) -> None:
        """Find the layouts of the model and of the sums."""
        layout = layout_of(self.model)
        object.__setattr__(self, "layout", layout)
        object.__setattr__(self, "sums", sum_layout(self.job.algorithm, layout))

    @property
    def version_shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays of a model version: the model, and what else participants receive."""
        received = self.job.algorithm.received_arrays(self.layout)
        shapes = {name: array.sized(self.layout.size) for name, array in received.items()}
        return {"model": (self.layout.size,), **shapes}

    @cached_property
    def test_rows(self) -> np.ndarray:
        """Which client of the tested part each client of the data set is (``test_rows``)."""
        return test_rows(self.population, self.job.evaluation.part)

    @cached_property
    def personal_clients(self) -> np.ndarray:
        """The clients that are tested with their own models, int64."""
        return personal_clients(self.job, self.population)

    @property
    def kept_shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays that a client keeps from one participation to the next."""
        kept = self.job.algorithm.kept_arrays(self.layout)
        shapes = {name: array.sized(self.layout.size) for name, array in kept.items()}
        if self.job.training.batch_norm == "local":
            shapes[STATISTICS] = (self.layout.averaged,)
        return shapes

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


def sum_layout(algorithm: Algorithm, layout: Layout) -> SumLayout:
    """Return where the arrays that an algorithm's clients upload lie in the sums of a round."""
    arrays = []
    begin = 0
    for name, array in algorithm.uploaded_arrays(layout).items():
        size = math.prod(array.sized(layout.trained))
        shape = array.sized(layout.size)
        arrays.append(Summed(name, shape, size, array.bits, begin, array.of_model))
        begin += algorithm.slots * size
    averaged = layout.averaged if algorithm.shares_averages else 0
    return SumLayout(tuple(arrays), algorithm.slots, begin, averaged)
