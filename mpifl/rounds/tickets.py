"""What a ticket of an assignment stands for: a group of tasks to train, or a shard of a test.

The plan fixes the groups, so what is trained together does not depend on the ranks. The tests
follow the groups in the same queue and fill the time at its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mpifl.aggregation.exact_sum import VALUE_LIMIT, RoundSum, to_fixed
from mpifl.errors import TrainingError, at
from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World
from mpifl.objectives.objective import Scores
from mpifl.rounds.clients.assignment import Assignment, Results, Stage, Versions
from mpifl.rounds.clients.attack_scores import attack_counts
from mpifl.rounds.clients.client_errors import task_names
from mpifl.rounds.clients.client_runner import client_updates
from mpifl.rounds.clients.counting import close_sum, count_held, count_update, keep_state, let_go
from mpifl.rounds.clients.masking import Masked, open_sum, target_of
from mpifl.rounds.clients.personal import test_personal
from mpifl.rounds.clients.worker import Worker
from mpifl.rounds.combining import combine
from mpifl.rounds.contributing import judge_of
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.experiment.personal_clients import personal_groups
from mpifl.rounds.plan.plan import task_groups
from mpifl.rounds.plan.round_result import CLIENT_TEST, MEASURED, METRIC
from mpifl.rounds.protocol import executor_take_tickets
from mpifl.rounds.reference import references
from mpifl.seeds import Purpose, number
from mpifl.training.device import seed_torch
from mpifl.training.evaluate import score_samples
from mpifl.training.passes import loss_on

if TYPE_CHECKING:
    import torch

PROBES = 16
"""The most clients that a ticket probes."""


@dataclass(frozen=True)
class Tickets:
    """What the tickets of an assignment stand for, in their order.

    ``groups`` of tasks, then groups of ``probes``, then ``personal`` groups of clients that are
    tested with their own models, then the shards of the tests.
    """

    groups: list[slice]
    probes: list[slice]
    personal: list[slice]
    costs: np.ndarray


def tickets_of(experiment: Experiment, assignment: Assignment) -> Tickets:
    """Return the tickets of an assignment.

    Their costs (tickets,) float64 are what each is expected to take, in samples trained; those of
    tests count as 0.
    """
    counts = assignment.stage == Stage.COUNT
    groups = [] if counts else task_groups(assignment.tasks, experiment.stack)
    personal = personal_groups(assignment.personal, experiment.stack)

    probes = [
        slice(begin, min(begin + PROBES, len(assignment.probes)))
        for begin in range(0, len(assignment.probes), PROBES)
    ]

    tests = len(probes) + len(personal) + len(assignment.tests) * experiment.shards
    costs = np.zeros(len(groups) + tests)
    if groups:
        begins = [group.start for group in groups]
        costs[: len(groups)] = np.add.reduceat(assignment.tasks["samples"], begins)
    return Tickets(groups, probes, personal, costs)


def ticket_costs(experiment: Experiment, assignment: Assignment) -> np.ndarray:
    """Return what each ticket of an assignment is expected to take (``Tickets.costs``)."""
    return tickets_of(experiment, assignment).costs


def work_on(
    world: World, worker: Worker, assignment: Assignment, versions: Versions, queue: Queue
) -> tuple[Results, np.ndarray | None]:
    """Do this rank's share of an assignment.

    Returns:
        This rank's results, and the tests of single clients (structured CLIENT_TEST) where the job
        asks for them, else None.
    """
    experiment = worker.experiment
    together = experiment.needs_updates
    for client in worker.held.keys() - set(assignment.kept.tolist()):
        del worker.held[client]
    worker.others.begin_round(assignment.others)
    with world.watch("training"):
        results = Results.empty(experiment, assignment)
        if assignment.stage == Stage.COUNT and not together:
            target = target_of(worker, assignment, results, 0)
            count_held(worker, assignment.tasks, target, assignment.oldest)
    own = None
    if together and assignment.combined:
        with world.watch("training"):
            own = references(world, worker, versions, assignment.first_round)
    tickets = tickets_of(experiment, assignment)
    clients = [np.empty(0, CLIENT_TEST)]
    per_client = experiment.job.evaluation.per_client

    for ticket in executor_take_tickets(queue, tickets.costs):
        place = ticket - len(tickets.groups)
        if place < 0:
            with world.watch("training"):
                _train(worker, assignment, versions, tickets.groups[ticket], results)
            continue

        with world.watch("evaluation"):
            if place < len(tickets.probes):
                probes = tickets.probes[place]
                results.probes[probes] = _probe(worker, assignment.probes[probes], versions)
                continue
            place -= len(tickets.probes)
            if place < len(tickets.personal):
                rows = assignment.personal[tickets.personal[place]]
                clients.append(test_personal(worker, rows, versions))
                continue
            test, shard = divmod(place - len(tickets.personal), experiment.shards)
            version = int(assignment.tests[test])
            with at(f"test of model version {version}, shard {shard}"):
                sums, scores = _test(worker, version, versions, shard)
                results.tests[test] += sums
                if scores.rows is not None:
                    results.tested[test, _shard_rows(experiment, shard)] = _bits(scores.rows)
                if per_client:
                    clients.append(_by_client(experiment, version, shard, scores))

    if together and assignment.combined:
        with world.watch("reduce"):
            judge = judge_of(world, experiment, assignment.first_round, worker, versions)
            combine(world, experiment, assignment.tasks, worker.held, own, results, judge)
        keep_state(worker, assignment.tasks, assignment.oldest)
        let_go(worker, assignment.tasks)
    return results, np.concatenate(clients) if experiment.job.evaluation.by_client else None


def train_group(
    worker: Worker,
    tasks: np.ndarray,
    versions: Versions,
    target: RoundSum | Masked | None,
    oldest: int,
) -> np.ndarray:
    """Train a group of tasks and add its updates to ``target``.

    A client whose training fails ends the run or is left out, as ``runtime.on_client_error`` says.
    A plug-in that breaks its contract (``contract.py``) always ends the run.

    Args:
        worker: What this rank trains with.
        tasks: The group (structured TASK), all of one round.
        versions: Model versions by number, among them those that the tasks train from.
        target: The running sum of that round; None to keep the updates in ``worker.held``.
        oldest: The round after which the run might be resumed.

    Returns:
        The metrics of the tasks (structured METRIC).
    """
    experiment = worker.experiment
    metrics = np.zeros(len(tasks), METRIC)
    metrics["round"] = tasks["round"]
    metrics["client"] = tasks["client"]
    for name in MEASURED:
        metrics[name] = np.nan
    metrics["failed"] = True

    update_sum = None
    if target is not None:
        update_sum = open_sum(experiment, target, worker.device)
    for update in client_updates(worker, tasks, versions):
        task = tasks[update.index]
        if update_sum is None:
            worker.held[int(task["client"])] = update
        else:
            count_update(worker, update_sum, task, update, oldest)
        metrics["slot"][update.index] = update.slot
        metrics["steps"][update.index] = update.steps
        metrics["bytes_up"][update.index] = update.bytes_up
        metrics["told"][update.index] = update.told
        metrics["update_norm"][update.index] = update.norm
        for name, value in update.losses._asdict().items():
            metrics[name][update.index] = value
        metrics["failed"][update.index] = False

    if update_sum is not None:
        close_sum(experiment, update_sum, tasks)
    with at(partial(task_names, experiment, tasks)):
        worker.contract.check()
    return metrics


def _train(
    worker: Worker, assignment: Assignment, versions: Versions, group: slice, results: Results
) -> None:
    """Train one group of tasks and add its updates and losses to ``results``."""
    tasks = assignment.tasks[group]
    target = None
    together = worker.experiment.needs_updates
    if assignment.stage != Stage.TRAIN and not together:
        index = int(tasks["round"][0]) - assignment.first_round
        target = target_of(worker, assignment, results, index)

    metrics = train_group(worker, tasks, versions, target, assignment.oldest)
    results.set_metrics(group, metrics)


def _probe(worker: Worker, clients: np.ndarray, versions: Versions) -> np.ndarray:
    """Return the bits (n, 1) int64 of the newest model's loss on the samples of each client."""
    experiment = worker.experiment
    newest = max(versions)
    model = worker.received_of(newest, versions)["model"]
    at_once = experiment.job.evaluation.batch_size
    losses = np.empty((len(clients), 1))
    for row, client in zip(losses, clients.tolist(), strict=True):
        seed_torch(worker.device, number(experiment.job.seed, Purpose.PROBE, newest, client))
        samples = worker.samples.read(worker.rows(client))
        row[0] = loss_on(worker.model, model, experiment.objective, samples, at_once)[0]
    return losses.view(np.int64)


def _test(
    worker: Worker, version: int, versions: Versions, shard: int
) -> tuple[np.ndarray, Scores]:
    """Return what a shard adds to the sums of a version's test, and its scores by sample."""
    experiment = worker.experiment
    model = worker.version(version, versions)["model"]
    samples = worker.tested.read(_shard_rows(experiment, shard))

    # A model may draw while it is tested (dropout that stays on): the same draws on whichever rank.
    seed_torch(worker.device, number(experiment.job.seed, Purpose.TEST, version, shard))
    scores = score_samples(worker.model, model, experiment.objective, samples)
    diverged = []
    if experiment.survives_divergence:
        wrong = ~(scores.loss < VALUE_LIMIT)
        diverged = [int(wrong.sum())]
        scores = scores._replace(loss=scores.loss.masked_fill(wrong, VALUE_LIMIT))

    loss = float(scores.loss.sum())
    scored = int(scores.scored.sum())
    mean_loss = loss / max(1, scored)
    share_of_loss = loss / experiment.tested_part.samples
    limit_holds = abs(mean_loss) < VALUE_LIMIT and abs(share_of_loss) < VALUE_LIMIT
    if not limit_holds and not diverged:
        raise TrainingError(
            f"the test loss is {mean_loss:g}: training has diverged (a smaller training.lr may"
            " help)"
        )

    correct = int(scores.correct.sum())
    first = [scored, correct, to_fixed(share_of_loss)]
    attacks = attack_counts(worker, model, samples, _shard_rows(experiment, shard).start)
    sums = np.concatenate([first, scores.counts.numpy(), attacks, diverged])
    return sums.astype(np.int64), scores


def _bits(rows: torch.Tensor) -> np.ndarray:
    """Return the bits (samples, gathered) int64 of numbers of that shape."""
    return np.ascontiguousarray(rows.double().numpy()).view(np.int64)


def _shard_rows(experiment: Experiment, shard: int) -> slice:
    """Return which samples of the tested part a shard has."""
    size = experiment.job.evaluation.batch_size
    return slice(shard * size, min((shard + 1) * size, experiment.tested_part.samples))


def _by_client(experiment: Experiment, version: int, shard: int, scores: Scores) -> np.ndarray:
    """Return a shard's scores as rows (CLIENT_TEST), one for each client with samples in it."""
    rows = _shard_rows(experiment, shard)
    offsets = experiment.tested_part.offsets
    first = int(np.searchsorted(offsets, rows.start, side="right")) - 1
    last = int(np.searchsorted(offsets, rows.stop, side="left"))
    begin = np.maximum(offsets[first:last], rows.start) - rows.start

    by_client = np.zeros(last - first, CLIENT_TEST)
    by_client["version"] = version
    by_client["device"] = -1
    by_client["client"] = np.arange(first, last)
    for name in ("scored", "correct", "loss"):
        by_client[name] = np.add.reduceat(getattr(scores, name).numpy(), begin)
    return by_client
