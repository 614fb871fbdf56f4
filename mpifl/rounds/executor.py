"""An executor: takes tasks of a batch from the queue, trains or tests, and adds to the running sums.

The other side of ``aggregator.py``, step for step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mpifl.aggregation.exact_sum import VALUE_LIMIT, RoundSum, to_fixed
from mpifl.errors import TrainingError, at
from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World
from mpifl.objectives.objective import Scores
from mpifl.rounds.client_state import ClientStore
from mpifl.rounds.client_update import contribute
from mpifl.rounds.experiment import Experiment
from mpifl.rounds.plan import task_groups
from mpifl.rounds.protocol import Assignment, Versions, receive
from mpifl.rounds.round_result import CLIENT_TEST, METRIC
from mpifl.rounds.worker import Worker, make_worker
from mpifl.seeds import Purpose, number
from mpifl.training.device import seed_torch
from mpifl.training.evaluate import evaluate_shard

EXECUTOR_PATIENCE = 3
"""In round_timeouts: an executor waits for the last tasks of the others as well, which rank 0 watches, and for rank 0."""


def run_executor(world: World, experiment: Experiment, store: ClientStore) -> None:
    """The life of ranks 1 to n - 1."""
    names, length = experiment.job.algorithm.sent, len(experiment.model.weights)
    place, queue = make_worker(experiment, store), Queue(world)
    versions: Versions = {}
    timeout = experiment.job.runtime.round_timeout
    world.patience_seconds = None if timeout is None else EXECUTOR_PATIENCE * timeout
    world.watch.begin("broadcast")
    while (assignment := receive(world, versions, names, length)) is not None:
        with world.watch("training"):
            sums = Sums.empty(experiment, assignment)
        clients = execute(world, place, assignment, versions, queue, sums)
        with world.watch("reduce"):
            sums.to_root(world)
            to_root(world, experiment, clients)


@dataclass(frozen=True)
class Sums:
    """What is added up over the ranks in a batch, views into one int64 vector, ``whole``: a batch needs one Reduce.

    ``vectors`` (rounds, summed, trained) and ``averages`` (rounds, 2, averaged) are the running sums of what clients
    contribute. ``tests`` (tests, numbers) count predictions, right ones, the mean loss in fixed point, and the task's own
    counts. ``told`` (tasks, 2) is what one rank alone knows of each task: the bits of its training loss (float64), and
    whether it failed.
    """

    whole: np.ndarray
    vectors: np.ndarray
    averages: np.ndarray
    tests: np.ndarray
    told: np.ndarray

    @staticmethod
    def empty(experiment: Experiment, assignment: Assignment) -> Sums:
        """Nothing yet."""
        model = experiment.model
        shapes = (
            (assignment.rounds, len(experiment.job.algorithm.summed), len(model.gradient)),
            (assignment.rounds, 2, model.averaged),
            (len(assignment.tests), 3 + experiment.objective.counted),
            (len(assignment.tasks), 2),
        )
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        whole = np.zeros(int(ends[-1]), np.int64)
        return Sums(whole, *(piece.reshape(s) for piece, s in zip(np.split(whole, ends[:-1]), shapes, strict=True)))

    def of(self, index: int) -> RoundSum:
        """Those of one round of the batch."""
        return RoundSum(self.vectors[index], self.averages[index])

    def tell(self, tasks: slice, metrics: np.ndarray) -> None:
        """Note the metrics (structured METRIC) of tasks that this rank took."""
        self.told[tasks, 0] = metrics["loss"].view(np.int64)
        self.told[tasks, 1] = metrics["failed"]

    def metrics(self, assignment: Assignment) -> np.ndarray:
        """On rank 0, once they are added up: the metrics of all tasks (structured METRIC)."""
        made = np.empty(len(assignment.tasks), METRIC)
        made["round"], made["client"] = assignment.tasks["round"], assignment.tasks["client"]
        made["loss"], made["failed"] = np.ascontiguousarray(self.told[:, 0]).view(np.float64), self.told[:, 1]
        return made

    def to_root(self, world: World) -> None:
        """Add up those of all ranks on rank 0."""
        world.sum_to_root(self.whole)


def to_root(world: World, experiment: Experiment, clients: np.ndarray) -> np.ndarray:
    """The tests of single clients (CLIENT_TEST) of all ranks, on rank 0; where the job wants none nothing is sent."""
    return world.gather_rows(clients) if experiment.job.evaluation.per_client else clients


def tickets(experiment: Experiment, assignment: Assignment, groups: list[slice]) -> np.ndarray:
    """The tickets of a batch: its groups of tasks with their samples, then the shards of its tests, which fill the tail."""
    work = np.zeros(len(groups) + len(assignment.tests) * experiment.shards)
    if groups:
        work[: len(groups)] = np.add.reduceat(assignment.tasks["samples"], [group.start for group in groups])
    return work


def execute(world: World, place: Worker, assignment: Assignment, versions: Versions, queue: Queue, sums: Sums) -> np.ndarray:
    """This rank's share of a batch, added to ``sums``.

    It takes groups of tasks, which the job's plan fixes: what is trained together does not depend on the ranks. The tests ride
    behind the training tasks in the same queue and fill its tail. Returns the tests of single clients (structured CLIENT_TEST),
    where the job wants them.
    """
    experiment = place.experiment
    groups = task_groups(assignment.tasks, experiment.stack)
    clients = [np.empty(0, CLIENT_TEST)]
    for ticket in queue.tickets(tickets(experiment, assignment, groups)):
        if ticket < len(groups):
            tasks = assignment.tasks[groups[ticket]]
            part = sums.of(int(tasks["round"][0]) - assignment.first_round)
            with world.watch("training"):
                sums.tell(groups[ticket], contribute(place, tasks, versions, part, assignment.oldest))
        else:
            test, shard = divmod(ticket - len(groups), experiment.shards)
            with world.watch("evaluation"), at(f"test of model version {assignment.tests[test]}, shard {shard}"):
                version = int(assignment.tests[test])
                counts, judged = _test(place, version, versions, shard)
                sums.tests[test] += counts
                if experiment.job.evaluation.per_client:
                    clients.append(_by_client(experiment, version, shard, judged))
    return np.concatenate(clients)


def _shard_rows(experiment: Experiment, shard: int) -> slice:
    size = experiment.job.evaluation.batch_size
    return slice(shard * size, min((shard + 1) * size, experiment.tested_part.samples))


def _test(place: Worker, version_number: int, versions: Versions, shard: int) -> tuple[np.ndarray, Scores]:
    """What a shard adds to the sums of a version's test, and the test sample by sample."""
    experiment = place.experiment
    version = place.version(version_number, versions)
    part = experiment.tested_part
    samples = place.tested.read(_shard_rows(experiment, shard))
    # For a model that draws while it is tested (dropout that stays on): whichever rank has the shard, the same draws.
    seed_torch(place.device, number(experiment.job.seed, Purpose.TEST, version_number, shard))
    judged = evaluate_shard(place.model, version["model"], experiment.objective, samples)
    loss = float(judged.loss.sum())
    scored = int(judged.scored.sum())
    if not abs(loss / max(1, scored)) < VALUE_LIMIT or not abs(loss / part.samples) < VALUE_LIMIT:
        raise TrainingError(
            f"the test loss is {loss / max(1, scored):g}: training has diverged (a smaller training.lr may help)"
        )
    counts = judged.counts.numpy()
    return np.concatenate([[scored, int(judged.correct.sum()), to_fixed(loss / part.samples)], counts]), judged


def _by_client(experiment: Experiment, version: int, shard: int, judged: Scores) -> np.ndarray:
    """A shard's test as rows (structured CLIENT_TEST), one for each client that has samples in it."""
    rows, offsets = _shard_rows(experiment, shard), experiment.tested_part.offsets
    first = int(np.searchsorted(offsets, rows.start, side="right")) - 1
    last = int(np.searchsorted(offsets, rows.stop, side="left"))
    begin = np.maximum(offsets[first:last], rows.start) - rows.start
    found = np.zeros(last - first, CLIENT_TEST)
    found["version"], found["client"] = version, np.arange(first, last)
    for name in ("scored", "correct", "loss"):
        found[name] = np.add.reduceat(getattr(judged, name).numpy(), begin)
    return found
