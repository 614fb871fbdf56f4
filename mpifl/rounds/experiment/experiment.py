"""Everything that a rank needs in order to take part in a job."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mpifl.aggregation.sum_layout import SumLayout, Summed
from mpifl.attacks.attack import Attack, collude
from mpifl.attacks.attackers import Attackers, of_each
from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Part
from mpifl.exchange.stage import Steered
from mpifl.exchange.way import Way
from mpifl.job import Job
from mpifl.models.layout import Layout, layout_of
from mpifl.population.population import Population
from mpifl.rounds.experiment.kept_optimizer import kept_shapes
from mpifl.rounds.experiment.personal_clients import personal_clients, test_rows
from mpifl.rounds.experiment.ways import ARRIVED, STEERED, way_down, way_up
from mpifl.rounds.plan.round_result import HISTORY, LAST, STATISTICS

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

    @cached_property
    def attackers(self) -> Attackers:
        """Which clients attack; for rank 0."""
        return Attackers(self.job.attacks, self.population, self.job.seed)


@dataclass(frozen=True)
class Experiment(TimingExperiment):
    """A job that trains: with its model and objective as well.

    Attributes:
        model: A model to train in.
        initial: Its weights before the first round, (size,) float32; empty once they are forgotten.
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
    def needs_initial(self) -> bool:
        """Whether initial weights are asked for while a run is under way."""
        job = self.job
        receives = "model" in job.algorithm.received_arrays(self.layout)
        return job.protocol.has_actors or job.algorithm.needs_initial or not receives

    def forget_initial(self) -> None:
        """Let go of the initial weights where nobody asks for them, once the run has begun."""
        if not self.needs_initial:
            object.__setattr__(self, "initial", np.empty(0, np.float32))

    @property
    def version_shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays of a model version: those of the server, and what arrives of them.

        The latter of those that ``exchange.down`` codes.
        """
        shapes = self.served_shapes
        coded = () if self.down is None else self.down.shapes
        return shapes | {ARRIVED + name: shapes[name] for name in coded}

    @property
    def served_shapes(self) -> dict[str, tuple[int, ...]]:
        """The server's arrays in a model version: the model, and what else participants receive.

        Also what came out last of an aggregation rule that goes on from there.
        """
        received = self.job.algorithm.received_arrays(self.layout)
        shapes = {name: array.sized(self.layout.size) for name, array in received.items()}
        if self.job.aggregation.reference == "last":
            entries = sum(array.size for array in self.sums.arrays)
            shapes[LAST] = (self.sums.slots, entries)
        steered = {} if self.steered is None else {STEERED: (1,)}
        return {"model": (self.layout.size,), **shapes, **steered}

    @property
    def steered(self) -> Steered | None:
        """The stage of ``exchange.up`` that the server steers, if there is one."""
        return None if self.up is None else self.up.steered

    @cached_property
    def up(self) -> Way | None:
        """What happens to uploads on their way; None for nothing."""
        return way_up(self.job, self.layout)

    @cached_property
    def down(self) -> Way | None:
        """What happens to what participants receive on its way; None for nothing."""
        return way_down(self.job, self.layout)

    @property
    def needs_updates(self) -> bool:
        """Whether the end of a round needs all updates.

        For rule, algorithm, attackers, or contributions.
        """
        job = self.job
        asked = job.aggregation.needs_updates or job.algorithm.needs_products
        return asked or collude(job.attacks) or job.contribution.active

    @cached_property
    def test_rows(self) -> np.ndarray:
        """Which client of the tested part each client of the data set is (``test_rows``)."""
        return test_rows(self.population, self.job.evaluation.part)

    @cached_property
    def validation_rows(self) -> np.ndarray:
        """Which client of the validation part each client of the data set is (``test_rows``)."""
        return test_rows(self.population, "validation")

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
        if self.job.aggregation.remembers:
            shapes[HISTORY] = (self.sums.arrays[0].size,)
        shapes |= kept_shapes(self.job, self.layout)
        return shapes if self.up is None else shapes | self.up.kept

    @cached_property
    def attacks(self) -> tuple[Attack, ...]:
        """The attacks of the job, each with what it needs of the data."""
        return of_each(self.job.attacks, lambda attack: attack.bound(self.population.data))

    @property
    def stack(self) -> int:
        """The most participants that a group has."""
        return self.job.training.stack or 1

    @property
    def aims(self) -> bool:
        """Whether attackers want certain samples to be classified wrongly."""
        return any(attack.aims for attack in self.job.attacks)

    @property
    def survives_divergence(self) -> bool:
        """Whether a model that diverges is a result and not an error."""
        return self.job.runtime.on_divergence == "record"

    @property
    def test_numbers(self) -> int:
        """How many numbers the test of a model adds up to.

        Scored and correct predictions, the mean loss, the objective's own counts; what attacks are
        on, and where they succeed; samples whose loss is not finite.
        """
        return 3 + self.objective.counted + 2 * self.aims + self.survives_divergence

    @property
    def metrics(self) -> list[str]:
        """The names of the scores that a test of the model gives."""
        counts = np.ones(self.objective.counted, np.int64)
        rows = np.ones((1, self.objective.gathered))
        return [*self.objective.metrics(1, 1, 1.0, counts, rows)]

    @property
    def tested_part(self) -> Part:
        """The part of the data set on which the global model is tested."""
        part: Part = getattr(self.population.data, self.job.evaluation.part)
        return part

    @property
    def gathered(self) -> tuple[int, int]:
        """Test samples whose ``Scores.rows`` are gathered, and numbers of each."""
        numbers = self.objective.gathered
        return (self.tested_part.samples if numbers else 0, numbers)

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
