"""Which clients are tested with their own models."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.kernels.permutation import permuted
from mpifl.population.population import Population
from mpifl.rounds.plan.round_result import PERSONAL
from mpifl.seeds import Purpose, number

LEAST_GROUP = 8
"""A ticket has that many clients, or as many as are trained together."""


def test_rows(population: Population, part: str) -> np.ndarray:
    """Return for each client of the data set which client of a tested part it is, by their names.

    (clients of the data set,) int64; -1 where it has no samples in that part.
    """
    data = population.data
    tested = getattr(data, part)
    place = {name: row for row, name in enumerate(tested.client.tolist())}
    sizes = np.diff(tested.offsets)
    rows = np.array([place.get(name, -1) for name in data.train.client.tolist()], np.int64)
    has_samples = np.concatenate([sizes > 0, [False]])  # the last one is that of row -1
    return np.where(has_samples[rows], rows, -1)


def check_personal(job: Job, population: Population) -> None:
    """Raise InputError when there is no client to test with its own model."""
    if not job.evaluation.personal or (test_rows(population, job.evaluation.part) >= 0).any():
        return
    name = job.evaluation.part
    raise InputError(
        f"evaluation.personal: true is not allowed: no client has both training samples and samples"
        f" of the {name} part of {population.data.name}; give clients a part of their own:"
        f" data.split.by=samples data.split.{name}=0.2"
    )


def personal_clients(job: Job, population: Population) -> np.ndarray:
    """Return the clients (int64, sorted) that are tested with their own models.

    Those with samples in the tested part; of more than ``evaluation.personal_clients`` a sample
    that depends on the seed only.
    """
    evaluation = job.evaluation
    if not evaluation.personal:
        return np.empty(0, np.int64)

    rows = test_rows(population, evaluation.part)
    count = population.clients
    wanted = count if evaluation.personal_clients is None else evaluation.personal_clients
    if wanted >= count:
        clients = np.arange(count)
        return clients[rows[clients % len(rows)] >= 0]

    # Clients in the order of a permutation, until there are enough: no array over the population.
    key = number(job.seed, Purpose.PERSONAL)
    chosen: list[int] = []
    for place in range(count):
        client = int(permuted(place, count, key))
        if rows[client % len(rows)] >= 0:
            chosen.append(client)
        if len(chosen) == wanted:
            break
    return np.sort(np.array(chosen, np.int64))


def to_test(
    clients: np.ndarray, version: int, round_number: int, state_rounds: dict[int, int]
) -> np.ndarray:
    """Return the clients to test after a round (structured PERSONAL)."""
    rows = np.zeros(len(clients), PERSONAL)
    rows["version"] = version
    rows["round"] = round_number
    rows["client"] = clients
    rows["state_round"] = [state_rounds.get(client, 0) for client in clients.tolist()]
    return rows


def personal_groups(rows: np.ndarray, stack: int) -> list[slice]:
    """Return the groups of rows (structured PERSONAL, by version) that are tested together."""
    size = max(stack, LEAST_GROUP)
    bounds = [0, *(np.flatnonzero(np.diff(rows["version"])) + 1).tolist(), len(rows)]
    return [
        slice(begin, min(begin + size, stop))
        for start, stop in pairwise(bounds)
        for begin in range(start, stop, size)
    ]
