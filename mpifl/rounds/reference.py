"""The reference of an aggregation rule: what came out last, or the server's own update.

One rank has it, the first that executes, as one more row beside the updates.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from mpifl.aggregation.exact_sum import value_limit
from mpifl.errors import Diverged
from mpifl.mpi.world import World
from mpifl.rounds.clients.assignment import Versions
from mpifl.rounds.clients.worker import Worker
from mpifl.rounds.plan.round_result import LAST
from mpifl.seeds import Purpose, generator, number
from mpifl.training.participant import Participant


def holder(world: World) -> int:
    """Return the rank that has the reference."""
    return world.size - world.executors


def references(
    world: World, worker: Worker, versions: Versions, round_number: int
) -> np.ndarray | None:
    """Return the reference of each slot (slots, size) float32 on the rank that has it, else None.

    ``size`` counts all arrays that are summed, without averaged buffers.

    Args:
        world: The ranks.
        worker: What this rank trains with.
        versions: Model versions by number, among them the newest.
        round_number: The round that ends.
    """
    rule = worker.experiment.job.aggregation
    if rule.reference == "none" or world.rank != holder(world):
        return None
    newest = max(versions)
    if rule.reference == "last":
        return versions[newest][LAST]

    sums = worker.experiment.sums
    rows = np.zeros((sums.slots, sum(array.size for array in sums.arrays)), np.float32)
    start = worker.version(newest, versions)["model"]
    rows[:, : sums.arrays[0].size] = _root_update(worker, start, round_number)
    return rows


def _root_update(worker: Worker, start: torch.Tensor, round_number: int) -> np.ndarray:
    """Return the update (trained,) float32 that the server makes on its own samples.

    It depends on the seed, the round and the model ``start`` only. One that diverges is 0 where the
    job goes on then.
    """
    experiment = worker.experiment
    assert worker.root is not None
    count = len(worker.root.x) if worker.root.begin is None else len(worker.root.begin) - 1
    keys = (experiment.job.seed, Purpose.ROOT, round_number)
    participant = Participant(
        start=start,
        pool=worker.root,
        rows=slice(0, count),
        steps=int(experiment.workload.steps(np.array([count]))[0]),
        order=partial(generator, *keys),
        rng_seed=partial(number, *keys),
        transforms=partial(generator, *keys, 1),
    )
    (result,) = worker.loop(worker.recipe(round_number), [participant])
    update = (result.weights - start)[: experiment.layout.trained].cpu().numpy()
    if not (np.abs(update) < value_limit(experiment.sums.arrays[0].bits)).all():
        if experiment.survives_divergence:
            return np.zeros_like(update)
        raise Diverged(
            "aggregation.name: the server's own update is not usable: training has diverged (a"
            " smaller training.lr may help)"
        )
    return update
