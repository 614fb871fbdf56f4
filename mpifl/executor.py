"""An executor: takes groups of a plan from the queue, trains or tests, and adds to the running sums.

The other side of ``aggregator.py``, step for step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from mpifl.algorithms.algorithm import Algorithm, Work
from mpifl.client_state import ClientStore
from mpifl.errors import TrainingError, at
from mpifl.exact_sum import VALUE_LIMIT, accumulate, to_fixed
from mpifl.experiment import Experiment
from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World
from mpifl.plan import TASK
from mpifl.result import METRIC
from mpifl.seeds import Purpose, generator, number
from mpifl.training.evaluate import evaluate_shard
from mpifl.training.local import features, train_client

HEADER = np.dtype([("round_number", "<i8"), ("tasks", "<i8"), ("shards", "<i8")])
"""What precedes a plan: round_number 0 says that the run is over; shards 0 that nothing is tested this time."""

TESTED = ("samples", "correct", "loss")
"""The last entries of the sum: of the test, samples and correct as they are, the mean loss in fixed point."""


@dataclass(frozen=True)
class Round:
    """What an executor is sent: the plan's tasks, the shards to test, and the vectors of the server's state by name."""

    round_number: int
    tasks: np.ndarray
    shards: int
    sent: dict[str, np.ndarray]


def run_executor(world: World, experiment: Experiment, store: ClientStore) -> None:
    """The life of ranks 1 to n - 1."""
    algorithm, length = experiment.job.algorithm, len(experiment.model.weights)
    queue = Queue(world)
    header = np.zeros(1, HEADER)
    sent = {name: np.empty(length, np.float32) for name in algorithm.sent}
    while True:
        world.broadcast(header)
        if header["round_number"][0] == 0:
            break
        with at(f"round {header['round_number'][0]}"):
            tasks = np.empty(int(header["tasks"][0]), TASK)
            world.broadcast(tasks)
            for vector in sent.values():
                world.broadcast(vector)
            this_round = Round(int(header["round_number"][0]), tasks, int(header["shards"][0]), sent)
            total, metrics = execute(experiment, store, this_round, queue)
            world.sum_to_root(total)
            world.gather_rows(metrics)
    queue.close()


def empty_sum(experiment: Experiment) -> np.ndarray:
    """A running sum, int64: the summed vectors end to end, then TESTED."""
    return np.zeros(len(experiment.job.algorithm.summed) * len(experiment.model.weights) + len(TESTED), np.int64)


def execute(experiment: Experiment, store: ClientStore, this_round: Round, queue: Queue) -> tuple[np.ndarray, np.ndarray]:
    """This rank's share of a round: the running sum and the metrics (structured METRIC) of the tasks it took.

    The tests of the model ride behind the training tasks in the same queue and fill its tail.
    """
    total = empty_sum(experiment)
    metrics: list[tuple[int, float]] = []
    for ticket in queue.tickets(len(this_round.tasks) + this_round.shards):
        shard = ticket - len(this_round.tasks)
        if shard < 0:
            task = this_round.tasks[ticket]
            with at(f"client {experiment.population.client_name(int(task['client']))}"):
                metrics.append(_train(experiment, store, this_round, task, total))
        else:
            with at(f"evaluation shard {shard}"):
                _test(experiment, this_round, shard, total[-len(TESTED) :])
    return total, np.array(metrics, METRIC)


def _train(experiment: Experiment, store: ClientStore, this_round: Round, task: Any, total: np.ndarray) -> tuple[int, float]:
    """Train one participant and add what it contributes; returns a METRIC row."""
    job, population, model = experiment.job, experiment.population, experiment.model
    algorithm, client, round_number = job.algorithm, int(task["client"]), this_round.round_number
    kept = store.read(client, round_number) if algorithm.keeps_state else None
    work = Work(
        sent={name: torch.from_numpy(vector) for name, vector in this_round.sent.items()},
        kept=None if kept is None else torch.from_numpy(kept),
        steps=int(task["steps"]),
        lr=job.training.lr,
    )
    train = population.dataset.train
    samples = features(population.dataset, train, train.rows(population.data_client(client)))
    # Layers such as dropout draw from torch's own generator and take no other.
    torch.manual_seed(number(job.seed, Purpose.DROPOUT, round_number, client))
    order = generator(job.seed, Purpose.BATCHES, round_number, client)
    changes_gradient = type(algorithm).correct is not Algorithm.correct
    correct = partial(algorithm.correct, work=work) if changes_gradient else None
    result = train_client(model, work.sent["model"], samples, work.steps, job.training, order, correct)
    contribution, keep = algorithm.contribute(result.update, work)
    for place, name in enumerate(algorithm.summed):
        vector, length = contribution[name].numpy(), len(model.weights)
        if vector.shape != (length,):
            raise TrainingError(f"{name} is not usable: its shape is {vector.shape}, the model's is ({length},)")
        wrong = accumulate(total[place * length : (place + 1) * length], vector, float(task["weight"]))
        if wrong is not None:
            raise _not_summable(name, experiment, vector[wrong], wrong)
    if keep is not None:
        store.write(client, round_number, keep.numpy())
    return client, result.loss


def _test(experiment: Experiment, this_round: Round, shard: int, tested: np.ndarray) -> None:
    data, size = experiment.population.dataset, experiment.job.evaluation.batch_size
    rows = slice(shard * size, min((shard + 1) * size, len(data.test.y)))
    weights = torch.from_numpy(this_round.sent["model"])
    result = evaluate_shard(experiment.model, weights, features(data, data.test, rows))
    mean_loss = result.loss_sum / result.samples
    if not abs(mean_loss) < VALUE_LIMIT:
        raise TrainingError(f"the test loss is {mean_loss:g}: training has diverged (a smaller training.lr may help)")
    tested += (result.samples, result.correct, to_fixed(result.loss_sum / len(data.test.y)))


def _not_summable(name: str, experiment: Experiment, value: np.float32, index: int) -> TrainingError:
    tensor = experiment.model.where(index)
    limit = f", and {VALUE_LIMIT:,.0f} is the limit" if np.isfinite(value) else ""
    return TrainingError(
        f"{name} is not usable: tensor {tensor} is {value:g}{limit}: training has diverged (a smaller training.lr may help)"
    )
