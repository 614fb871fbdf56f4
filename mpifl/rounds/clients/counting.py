"""Updates that count: into the sum of their round, and what their clients keep."""

from __future__ import annotations

from functools import partial

import numpy as np

from mpifl.aggregation.exact_sum import RoundSum
from mpifl.errors import at
from mpifl.rounds.clients.client_errors import task_names
from mpifl.rounds.clients.client_update import ClientUpdate
from mpifl.rounds.clients.masking import Masked, MaskedSum, open_sum
from mpifl.rounds.clients.noise_shares import noise_share
from mpifl.rounds.clients.recording import write_recorded
from mpifl.rounds.clients.update_sum import UpdateSum
from mpifl.rounds.clients.worker import Worker
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.plan import TASK


def count_held(worker: Worker, tasks: np.ndarray, target: RoundSum | Masked, oldest: int) -> None:
    """Add those updates of a round that this rank has kept, and that count, to ``target``.

    Args:
        worker: Holds the updates; those of the tasks are let go.
        tasks: Those that count (structured TASK), with their weights.
        target: The running sum of the round.
        oldest: The round after which the run might be resumed.
    """
    update_sum = open_sum(worker.experiment, target, worker.device)
    for task in tasks:
        update = worker.held.get(int(task["client"]))
        if update is not None:
            count_update(worker, update_sum, task, update, oldest)
    close_sum(worker.experiment, update_sum, tasks)
    let_go(worker, tasks)


def let_go(worker: Worker, tasks: np.ndarray) -> None:
    """Forget the updates of tasks."""
    for client in tasks["client"].tolist():
        worker.held.pop(client, None)


def keep_state(worker: Worker, tasks: np.ndarray, oldest: int) -> None:
    """Write what the clients keep whose updates count; arguments are those of ``count_held``."""
    for task in tasks:
        update = worker.held.get(int(task["client"]))
        if update is not None:
            _keep(worker, task, update, oldest)


def count_update(
    worker: Worker,
    update_sum: UpdateSum | MaskedSum,
    task: np.void,
    update: ClientUpdate,
    oldest: int,
) -> None:
    """Add an update to the sum of its round, and write what its client keeps."""
    with at(partial(task_names, worker.experiment, np.array([task], TASK))):
        noise = noise_share(worker.experiment, task)
        update_sum.add(int(task["client"]), update, float(task["weight"]), noise)
        _keep(worker, task, update, oldest)


def _keep(worker: Worker, task: np.void, update: ClientUpdate, oldest: int) -> None:
    if update.recorded is not None:
        write_recorded(worker.store.run, update.recorded)
    if update.kept:
        worker.store.write(int(task["client"]), int(task["round"]), update.kept, oldest)


def close_sum(experiment: Experiment, update_sum: UpdateSum | MaskedSum, tasks: np.ndarray) -> None:
    """Finish a sum. Raises TrainingError for an update that could not be summed."""
    late = update_sum.close()
    if late is not None:
        client, error = late
        with at(partial(task_names, experiment, tasks[tasks["client"] == client])):
            raise error
