"""Which samples the server has of its own, for an aggregation rule that trains on them."""

from __future__ import annotations

import numpy as np

from mpifl.aggregation.fltrust import FlTrust
from mpifl.errors import InputError, counted
from mpifl.job import Job
from mpifl.population.population import Population
from mpifl.seeds import Purpose, generator


def check_root(job: Job, population: Population) -> None:
    """Raise InputError where the server's own samples are not there."""
    rule = job.aggregation
    if not isinstance(rule, FlTrust):
        return
    data = population.data
    for client in rule.root_clients or ():
        if not 0 <= client < population.clients:
            raise InputError(
                f"aggregation.root_clients: {client} is not allowed; allowed: 0 to"
                f" {population.clients - 1}"
            )
    if rule.root_samples is not None and rule.root_samples > data.validation.samples:
        raise InputError(
            f"aggregation.root_samples: {rule.root_samples} is not allowed: the validation part of"
            f" {data.name} has {counted(data.validation.samples, 'sample')}; data.split makes one:"
            " data.split.by=samples data.split.validation=0.1"
        )


def root_rows(rule: FlTrust, population: Population, seed: int) -> np.ndarray:
    """Return the server's samples: rows (n,) int64, sorted, of train or of the validation part."""
    data = population.data
    if rule.root_clients is not None:
        own = [data.train.rows(population.data_client(client)) for client in rule.root_clients]
        return np.unique(np.concatenate([np.arange(rows.start, rows.stop) for rows in own]))
    random = generator(seed, Purpose.ROOT)
    assert rule.root_samples is not None
    return np.sort(random.permutation(data.validation.samples)[: rule.root_samples])
