"""``contribution`` at work: the ranks test the models of coalitions of a round's participants.

Every rank gets all updates of the round, and each tests its share of what is asked for; what they
count is added exactly. So the utilities, and what the method makes of them, are the same on every
rank and on any number of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from mpifl.aggregation.exact_sum import VALUE_LIMIT, from_fixed, to_fixed
from mpifl.aggregation.updates import Updates
from mpifl.algorithms.fedavg import FedAvg
from mpifl.contribution.utility import Coalition, Utility, everybody
from mpifl.job.metrics import lower_is_better
from mpifl.mpi.world import World
from mpifl.rounds.clients.assignment import Versions
from mpifl.rounds.experiment.contribution_checks import judged_samples
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.round_result import Judged
from mpifl.seeds import Purpose, generator, number
from mpifl.training.device import CPU, seed_torch
from mpifl.training.evaluate import score_samples

if TYPE_CHECKING:
    from mpifl.rounds.clients.worker import Worker


@dataclass(frozen=True)
class Judge:
    """Evaluates the contributions to a round.

    Attributes:
        world: The ranks; every one has a judge, and calls it.
        experiment: The job and its model.
        worker: What this rank tests with; None on a rank that does not.
        versions: Model versions by number, the newest of which the updates are added to.
    """

    world: World
    experiment: Experiment
    worker: Worker | None
    versions: Versions

    def __call__(self, tasks: np.ndarray, updates: Updates) -> tuple[np.ndarray, Judged]:
        """Return what each update of a round has contributed (n,) float64. Collective.

        Args:
            tasks: Those of the updates (structured TASK), in their order.
            updates: All of the round, in the order of the clients.
        """
        job = self.experiment.job
        round_number = int(tasks["round"][0])
        count = len(tasks)
        tests = CoalitionTests(self, updates.everywhere()[:count], tasks["weight"], round_number)
        utility = Utility(tests.measure)
        random = generator(job.seed, Purpose.CONTRIBUTION, round_number)

        values = job.contribution.evaluate(count, utility, random)
        asked = utility.evaluations
        before, after = utility([0, everybody(count)]).tolist()
        return values, Judged(before, after, asked)


def judge_of(
    world: World,
    experiment: Experiment,
    round_number: int,
    worker: Worker | None = None,
    versions: Versions | None = None,
) -> Judge | None:
    """Return what evaluates the contributions to a round; None where they are not due."""
    if not experiment.job.contribution.due(round_number):
        return None
    return Judge(world, experiment, worker, versions or {})


class CoalitionTests:
    """Tests the models of coalitions in a round.

    Args:
        judge: The ranks, and what they test with.
        updates: All updates (n, size) float32: what is summed, and behind it averaged buffers.
        weights: Their weights in the mean (n,).
        round_number: The round.
    """

    def __init__(
        self, judge: Judge, updates: np.ndarray, weights: np.ndarray, round_number: int
    ) -> None:
        self._world = judge.world
        self._experiment = judge.experiment
        self._worker = judge.worker
        self._updates = updates
        self._weights = weights
        self._round = round_number
        self._before: torch.Tensor | None = None
        if judge.worker is not None:
            newest = judge.worker.version(max(judge.versions), judge.versions)
            self._before = newest["model"].to(CPU)

    def measure(self, coalitions: Sequence[Coalition]) -> np.ndarray:
        """Return the utilities of coalitions, (coalitions,) float64. Collective."""
        experiment = self._experiment
        samples = judged_samples(experiment)
        size = experiment.job.evaluation.batch_size
        shards = math.ceil(samples / size)
        sums = np.zeros((len(coalitions), 3 + experiment.objective.counted), np.int64)

        with self._world.watch("evaluation"):
            if self._worker is not None:
                for place, shard in self._own(len(coalitions), shards):
                    rows = slice(shard * size, min((shard + 1) * size, samples))
                    sums[place] += self._tested(self._worker, coalitions[place], rows, shard)
        self._world.sum_to_all(sums)
        return np.array([self._utility(row, samples) for row in sums])

    def _own(self, coalitions: int, shards: int) -> list[tuple[int, int]]:
        """Return this rank's part of the tests: the place of a coalition, and the shard."""
        world = self._world
        executor = world.rank - (world.size - world.executors)
        tests = coalitions * shards
        ends = [tests * part // world.executors for part in (executor, executor + 1)]
        return [divmod(test, shards) for test in range(*ends)]

    def _tested(self, worker: Worker, coalition: Coalition, rows: slice, shard: int) -> np.ndarray:
        """Return what a test on some samples adds to the sums of a coalition, int64."""
        experiment = self._experiment
        seed_torch(
            worker.device,
            number(experiment.job.seed, Purpose.CONTRIBUTION, self._round, 1 + shard),
        )
        model = self.model(coalition).to(worker.device)
        samples = worker.judged.read(rows)
        scores = score_samples(worker.model, model, experiment.objective, samples)
        loss = scores.loss.masked_fill(~(scores.loss < VALUE_LIMIT), VALUE_LIMIT)

        share = float(loss.sum()) / judged_samples(experiment)
        fixed = to_fixed(min(share, VALUE_LIMIT / 2))
        first = [int(scores.scored.sum()), int(scores.correct.sum()), fixed]
        return np.concatenate([first, scores.counts.numpy()]).astype(np.int64)

    def model(self, coalition: Coalition) -> torch.Tensor:
        """Return the model (size,) float32 that the server makes of a coalition's updates.

        As FedAvg's server does, with the weights of the round scaled to their sum.
        """
        before = self._before
        assert before is not None
        places = [place for place in range(len(self._weights)) if coalition >> place & 1]
        if not places:
            return before
        layout = self._experiment.layout
        total = self._weights.sum()
        shares = self._weights[places] * (total / self._weights[places].sum())

        after = before.double()
        mean = torch.zeros(self._updates.shape[1], dtype=torch.float64)
        for place, share in zip(places, shares.tolist(), strict=True):
            mean.add_(torch.from_numpy(self._updates[place]), alpha=share)
        algorithm = self._experiment.job.algorithm
        assert isinstance(algorithm, FedAvg)
        after[: layout.trained] += algorithm.server_lr * mean[: layout.trained]
        if self._experiment.sums.averaged:
            after[layout.averages] *= max(0.0, 1.0 - total)
            after[layout.averages] += mean[-layout.averaged :]
        return after.float()

    def _utility(self, sums: np.ndarray, samples: int) -> float:
        """Return the utility of a coalition, given the sums of its tests."""
        metric = metric_of(self._experiment)
        scored = int(sums[0])
        loss = float(from_fixed(sums[2])) * (samples / scored)
        found = self._experiment.objective.metrics(
            scored, int(sums[1]), loss, sums[3:], np.empty((0, 0))
        )
        lower = lower_is_better(metric, self._experiment.objective.higher_is_better)
        return -found[metric] if lower else found[metric]


def metric_of(experiment: Experiment) -> str:
    """Return the metric that is shared out."""
    given = experiment.job.contribution.metric
    return given or ("accuracy" if "accuracy" in experiment.metrics else "loss")
