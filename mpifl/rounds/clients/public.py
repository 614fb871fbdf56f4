"""Public samples, and the server's programs that train on them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import torch

from mpifl.algorithms.arrays import Arrays
from mpifl.algorithms.requests import Call
from mpifl.datasets.dataset import picked
from mpifl.rounds.clients.server_calls import serve_calls
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.seeds import Purpose, generator, number
from mpifl.training.device import CPU
from mpifl.training.samples import pool_of


def public_inputs(experiment: Experiment, device: torch.device, round_number: int) -> torch.Tensor:
    """Return the inputs of a round's public samples, (samples, ...) on a device.

    They are drawn from the validation part, as many as the algorithm says; the same on all ranks.
    """
    data = experiment.population.data
    random = generator(experiment.job.seed, Purpose.PUBLIC, round_number)
    count = experiment.job.algorithm.public
    rows = np.sort(random.permutation(data.validation.samples)[:count])
    pool = pool_of(data, picked(data.validation, rows), device)
    return pool.read(slice(0, len(rows)))[0]


def run_server_program(
    experiment: Experiment, round_number: int, program: Generator[Call, Any, Arrays]
) -> Arrays:
    """Serve the requests of a server's program on rank 0; return what it returns.

    Raises TrainingError for another request than Call.
    """
    seed = experiment.job.seed

    def refusal(kind: str) -> str:
        return (
            f"algorithm.name: {experiment.job.algorithm.name!r}: its server yielded {kind};"
            " allowed: Call"
        )

    def seed_of(request: int) -> int:
        return number(seed, Purpose.PUBLIC, round_number, 1 + request)

    return serve_calls(program, experiment.model, CPU, seed_of, refusal)
