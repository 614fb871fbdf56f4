"""A group of four participants of a small job, for the tests of what it adds to the sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.aggregation.exact_sum import from_fixed
from mpifl.algorithms.algorithm import Algorithm
from mpifl.rounds.clients.assignment import Version
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.clients.worker import make_worker
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.plan import TASK
from mpifl.rounds.tickets import train_group
from tests.known import added
from tests.summed import no_sums

ROUND, CLIENTS, STEPS, WEIGHTS = 2, (1, 4, 6, 9), (3, 7, 5, 4), (0.1, 0.4, 0.2, 0.3)
FAILS = 2
"""The place in the group of the client that fails: it has 5 steps, and no other."""
TASKS = np.array(
    [
        (ROUND, client, ROUND, 1, 0, n, 8 * n, 1.0, w, 0, 0, 0)
        for client, n, w in zip(CLIENTS, STEPS, WEIGHTS, strict=True)
    ],
    TASK,
)
OTHERS = np.delete(np.arange(4), FAILS)
Contributed = tuple[np.ndarray, np.ndarray]


def small_experiment(engine: str, *overrides: str) -> Experiment:
    job = [
        "rounds=4",
        "model={name: mlp, hidden: [8]}",
        "training.batch_size=8",
        "selection.participants=4",
        "data.partition={name: dirichlet, clients: 10, min_samples: 4}",
        f"training.engine={engine}",
    ]
    found = check_job("quickstart", [*job, *overrides])[0]
    assert isinstance(found, Experiment)
    return found


def running(experiment: Experiment, algorithm: Algorithm, **changed: Any) -> Experiment:
    """The same job with another algorithm."""
    job = experiment.job.model_copy(update={"algorithm": algorithm, **changed})
    return replace(experiment, job=job)


def dropping(experiment: Experiment, algorithm: Algorithm | None = None) -> Experiment:
    """The same job, which leaves out clients that fail."""
    runtime = experiment.job.runtime.model_copy(update={"on_client_error": "drop"})
    return running(experiment, algorithm or experiment.job.algorithm, runtime=runtime)


def version(experiment: Experiment) -> Version:
    """What participants receive: the initial model, and other arrays full of 0.01."""
    return {
        name: experiment.initial if name == "model" else np.full(shape, 0.01, np.float32)
        for name, shape in experiment.version_shapes.items()
    }


def contributed(
    experiment: Experiment,
    folder: Path,
    tasks: np.ndarray = TASKS,
    store: type[ClientStore] = ClientStore,
) -> Contributed:
    """The running sums of a group that begins with nothing, and its metrics."""
    part = no_sums(experiment.sums)
    worker = make_worker(experiment, store(folder / "clients", experiment.kept_shapes))
    return part.vectors, train_group(worker, tasks, {1: version(experiment)}, part, 0)


def one_by_one(experiment: Experiment, folder: Path, places: Any = OTHERS) -> Contributed:
    """Groups of one, added up."""
    found = [contributed(experiment, folder, TASKS[[place]]) for place in places]
    return added(part for part, _ in found), np.concatenate([metrics for _, metrics in found])


def assert_dropped(found: Contributed, others: Contributed) -> None:
    """The client that fails is left out, and the sum is that of the others, to the bit."""
    assert np.array_equal(found[0], others[0])
    assert found[1]["failed"].tolist() == [0, 0, 1, 0]
    assert found[1]["client"].tolist() == list(CLIENTS)
    assert np.isnan(found[1]["loss"][FAILS])
    assert found[1]["loss"][OTHERS].tolist() == others[1]["loss"].tolist()
    assert np.abs(found[0]).max() > 0


def assert_close(found: np.ndarray, expected: np.ndarray, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(from_fixed(found), from_fixed(expected), rtol=0, atol=atol)
