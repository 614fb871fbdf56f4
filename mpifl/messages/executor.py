"""An executor of a protocol: it has actors, runs their handlers, and tests models.

``aggregator.py`` is the other side; ``wire.py`` holds the messages between them.
"""

from __future__ import annotations

from pathlib import Path

from mpifl.messages.actor_files import read_actors
from mpifl.messages.host import make_host
from mpifl.messages.wire import (
    END,
    MEAN,
    RESTORE,
    RUN,
    SAVE,
    TEST,
    executor_mean,
    executor_receive_order,
    executor_run,
    executor_save,
)
from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World
from mpifl.rounds.clients.assignment import Versions
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.clients.worker import make_worker
from mpifl.rounds.executor import EXECUTOR_PATIENCE
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.protocol import executor_receive_assignment, executor_send_results
from mpifl.rounds.tickets import work_on


def run_actors(world: World, experiment: Experiment, folder: Path) -> None:
    """Do what the aggregator orders until it sends the end. Raises RankLost, RankTimeout.

    ``folder`` is that of the actors' files.
    """
    timeout = experiment.job.runtime.round_timeout
    world.patience_seconds = None if timeout is None else EXECUTOR_PATIENCE * timeout

    worker = make_worker(experiment, ClientStore(folder, {}))
    host = make_host(worker)
    queue = Queue(world)
    versions: Versions = {}

    world.watch.begin("broadcast")
    while (order := executor_receive_order(world))["do"] != END:
        if order["do"] == RESTORE:
            read_actors(folder, host, order["files"], world.rank, world.size)
        elif order["do"] == RUN:
            executor_run(world, host, order)
        elif order["do"] == MEAN:
            executor_mean(world, host, order)
        elif order["do"] == SAVE:
            executor_save(world, host, folder, order)
        elif order["do"] == TEST:
            assignment = executor_receive_assignment(world, versions, experiment.version_shapes)
            assert assignment is not None
            results, clients = work_on(world, worker, assignment, versions, queue)
            with world.watch("reduce"):
                executor_send_results(world, results, clients)
