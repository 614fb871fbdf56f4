"""An executor, ranks 1 to n - 1: it trains and tests what the aggregator assigns.

``aggregator.py`` is the other side; ``protocol.py`` holds the messages between them.
"""

from __future__ import annotations

from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World
from mpifl.rounds.clients.assignment import Versions
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.clients.worker import make_worker
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.protocol import executor_receive_assignment, executor_send_results
from mpifl.rounds.tickets import work_on

EXECUTOR_PATIENCE = 3
"""In round_timeouts. An executor waits for the last tasks of others too, and for rank 0."""


def run_executor(world: World, experiment: Experiment, store: ClientStore) -> None:
    """Work on assignments until the aggregator sends the end. Raises RankLost, RankTimeout."""
    timeout = experiment.job.runtime.round_timeout
    world.patience_seconds = None if timeout is None else EXECUTOR_PATIENCE * timeout

    experiment.forget_initial()
    worker = make_worker(experiment, store)
    queue = Queue(world)
    versions: Versions = {}

    world.watch.begin("broadcast")
    while assignment := executor_receive_assignment(world, versions, experiment.version_shapes):
        results, clients = work_on(world, worker, assignment, versions, queue)
        with world.watch("reduce"):
            executor_send_results(world, results, clients)
        del results  # its memory is that of the next
