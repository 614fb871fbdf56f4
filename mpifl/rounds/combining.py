"""The end of a round whose aggregation rule needs all updates: the ranks apply the rule together.

Each rank has kept the updates that it trained. What they become is written as the sum of the round
would be, each rank its part, so that the server's step is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mpifl.aggregation.device_sum import in_two_parts
from mpifl.aggregation.updates import Columns, Rows, Updates, Weights
from mpifl.aggregation.views import bucketed
from mpifl.errors import TrainingError, at
from mpifl.mpi.world import World
from mpifl.rounds.clients.assignment import Results
from mpifl.rounds.clients.attacking import colluded
from mpifl.rounds.clients.client_update import ClientUpdate
from mpifl.rounds.clients.update_sum import UpdateSum, summable
from mpifl.rounds.contributing import Judge
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.round_result import HISTORY
from mpifl.rounds.reference import holder
from mpifl.seeds import Purpose, generator
from mpifl.training.device import CPU


def combine(
    world: World,
    experiment: Experiment,
    tasks: np.ndarray,
    held: Mapping[int, ClientUpdate],
    references: np.ndarray | None,
    results: Results,
    judge: Judge | None,
) -> None:
    """Apply the job's aggregation rule to the updates of a round. Collective.

    Args:
        world: The ranks.
        experiment: The job and its model.
        tasks: Those of the round (structured TASK), with the weights of the updates.
        held: The updates that this rank has, by client; others than those of ``tasks`` are left
            alone.
        references: The rule's reference of each slot (slots, size) on the rank that has it (see
            ``reference.py``), else None.
        results: Gets this rank's part of what the updates become, as the sum of its one round; and
            which of them the rule left out, and what each has contributed.
        judge: Evaluates contributions; None where none are due.
    """
    order = np.argsort(tasks["client"])
    tasks = tasks[order]
    places = np.zeros((len(tasks), 2), np.int64)  # 1 + rank, slot
    for row, client in enumerate(tasks["client"].tolist()):
        if client in held:
            places[row] = 1 + world.rank, held[client].slot
    world.sum_to_all(places)

    for slot in range(experiment.sums.slots):
        there = (places[:, 0] > 0) & (places[:, 1] == slot)
        if not there.any():
            continue
        reference = None if references is None else references[slot]
        one = Slot(slot, tasks[there], places[there, 0] - 1, held, reference)
        updates = colluded(experiment, _updates(world, experiment, one), one.tasks)
        taken = _combine_slot(world, experiment, one, updates, results)
        if taken is not None:
            results.rejected[order[there]] = ~taken
        if judge is not None:
            values, judged = judge(one.tasks, updates)
            results.contributions[order[there]] = values
            results.judged[:] = judged


@dataclass(frozen=True)
class Slot:
    """The updates of one of the round's sums.

    ``ranks`` (n,) hold those of ``tasks`` (n,), in the order of the clients. ``held`` and
    ``reference`` are this rank's own.
    """

    number: int
    tasks: np.ndarray
    ranks: np.ndarray
    held: Mapping[int, ClientUpdate]
    reference: np.ndarray | None

    def own(self, rank: int) -> dict[int, ClientUpdate]:
        """Return the updates that a rank holds, by row."""
        clients = self.tasks["client"].tolist()
        return {row: self.held[clients[row]] for row in np.flatnonzero(self.ranks == rank).tolist()}


def _combine_slot(
    world: World, experiment: Experiment, slot: Slot, updates: Updates, results: Results
) -> np.ndarray | None:
    """Apply the rule to the updates of one slot.

    Returns which of them count, (n,) bool; None where the rule decides by coordinate.
    """
    job = experiment.job
    rule = job.aggregation
    round_number = int(slot.tasks["round"][0])
    if job.algorithm.needs_products:
        count = len(slot.tasks)
        products = updates.products[:count, :count]  # without the rule's reference
        results.products[slot.number] = slot.tasks["client"].copy(), products
    if rule.bucket > 1:
        random = generator(job.seed, Purpose.BUCKETS, round_number, slot.number)
        updates = bucketed(updates, rule.bucket, random)

    with at(f"round {round_number}, aggregation.name {rule.name}"):
        found = rule.aggregate(updates)
        if not isinstance(found, Columns | Weights):
            raise TrainingError(
                f"aggregate returned {type(found).__name__}; expected what a method of updates"
                " returns: weighted, combined or columns"
            )
    if isinstance(found, Columns):
        total = float(np.sort(slot.tasks["weight"]).sum())
        _write_columns(experiment, slot.number, found.values, total, results)
    else:
        own = slot.own(world.rank)
        _add_weighted(experiment, slot.number, slot.tasks, own, found.weights, results)
    return found.taken


def _updates(world: World, experiment: Experiment, slot: Slot) -> Updates:
    """Return the updates of a slot as a rule sees them, with its reference as the last row."""
    sums = experiment.sums
    rule = experiment.job.aggregation
    own = slot.own(world.rank)
    held = {row: _vector(update) for row, update in own.items()}
    ranks = slot.ranks
    weights = slot.tasks["weight"].copy()
    histories = None
    if rule.remembers:
        size = sums.arrays[0].size
        kept = {row: update.kept[HISTORY] for row, update in own.items()}
        histories = Updates(world, Rows(kept, ranks, size, size), weights)

    if rule.reference != "none":
        ranks = np.append(ranks, holder(world))
        weights = np.append(weights, 0.0)
        if slot.reference is not None:
            held[len(slot.ranks)] = np.append(slot.reference, np.zeros(sums.averaged, np.float32))
    size = sum(array.size for array in sums.arrays) + sums.averaged
    rows = Rows(
        held=held,
        rank_of=ranks,
        size=size,
        compared=sums.arrays[0].size if sums.arrays else size,
        averaged=sums.averaged,
        reference=rule.reference != "none",
    )
    staleness = slot.tasks["staleness"].astype(np.int64)
    return Updates(world, rows, weights, histories=histories, staleness=staleness)


def _vector(update: ClientUpdate) -> np.ndarray:
    """Return all entries of an update, (size,) float32."""
    parts = [*update.arrays, update.averages] if len(update.averages) else update.arrays
    vectors = [part.detach().to(CPU).numpy() for part in parts]
    return vectors[0] if len(vectors) == 1 else np.concatenate(vectors)


def _write_columns(
    experiment: Experiment, slot: int, values: np.ndarray, total: float, results: Results
) -> None:
    """Write the columns that this rank has computed, times the weights' sum, in fixed point.

    Other ranks' columns are 0, which adds nothing.
    """
    begin = 0
    for array in experiment.sums.arrays:
        what = f"aggregation.name: {experiment.job.aggregation.name!r} makes values of {array.name}"
        own = summable(experiment, values[begin : begin + array.size], array.bits, what)
        fixed = np.rint(own * (total * 2.0**array.bits)).astype(np.int64)
        results.vectors[0, array.place(slot)] = fixed
        begin += array.size
    if experiment.sums.averaged:
        results.averages[0, slot] = in_two_parts(torch.from_numpy(values[begin:]), total).numpy()


def _add_weighted(
    experiment: Experiment,
    slot: int,
    tasks: np.ndarray,
    own: Mapping[int, ClientUpdate],
    weights: np.ndarray,
    results: Results,
) -> None:
    """Add this rank's updates with their new weights (n,) to the exact sum.

    Averaged buffers are values: their weights are scaled to the sum of the old ones.
    """
    if not own:
        return
    shared = tasks["weight"]
    if weights.any():
        shared = weights * (tasks["weight"].sum() / weights.sum())
    device = next(iter(own.values())).averages.device
    update_sum = UpdateSum(experiment, results.round_sum(0), device)
    for row, update in own.items():
        client = int(tasks["client"][row])
        update_sum.add_arrays(client, slot, update.arrays, float(weights[row]))
        update_sum.add_averages(client, slot, update.averages, float(shared[row]))
    late = update_sum.close()
    if late is not None:
        raise late[1]
