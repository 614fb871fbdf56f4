"""The models with which clients are tested, as mpifl makes them."""

from __future__ import annotations

import numpy as np
import torch

from mpifl.rounds.clients.client_program import Ended, advance
from mpifl.rounds.clients.personal import _start
from mpifl.rounds.clients.serving import serve
from mpifl.rounds.clients.worker import make_worker
from mpifl.rounds.experiment.personal_clients import to_test
from mpifl.rounds.server.planning import kinds_of
from tests.algorithms.reference import Run


def personal_model(run: Run, client: int) -> torch.Tensor:
    """Return a client's model (size,) after the last round of a run."""
    server = run.server
    worker = make_worker(run.experiment, run.store)
    rows = to_test(np.array([client]), server.version, server.rounds_done, server.state_rounds)
    worker.others.begin_round(server.others)
    rows["kind"] = kinds_of(run.experiment, rows["client"])
    program = _start(worker, rows, 0, server.versions)
    while not isinstance(reached := advance(worker, program), Ended):
        (program,) = serve(worker, rows, [(program, reached)])
    return reached.value
