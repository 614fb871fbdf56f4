"""Whole rounds at every number of ranks. That the bits are the same at each of them is tested in tests/e2e."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mpifl.job import parse_job
from mpifl.mpi.world import World
from mpifl.population.build import prepare
from mpifl.rounds.aggregator import run_aggregator
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.executor import run_executor
from mpifl.rounds.experiment.build_experiment import load_experiment
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.round_result import RoundResult
from mpifl.rounds.plan.snapshot import Snapshot
from mpifl.rounds.server.server import make_server
from mpifl.state.checkpoint import Checkpoints


class NoRecords:
    def rows(self) -> dict[str, int]:
        return {}

    def to_disk(self) -> None:
        pass


def experiment_of(world: World, algorithm: str) -> Experiment:
    job = parse_job(
        {
            "name": "ranks",
            "rounds": 3,
            "data": {"name": "digits", "partition": {"name": "dirichlet", "clients": 20}},
            "model": {"name": "mlp", "hidden": [8]},
            "selection": {"name": "uniform", "participants": 5},
            "algorithm": algorithm,
        }
    )
    paths = "\n".join(map(str, prepare(job))) if world.aggregates else None
    data, trace = map(Path, world.broadcast_text(paths).split("\n"))
    found = load_experiment(job, data, trace)
    assert isinstance(found, Experiment)
    return found


def digest(world: World, algorithm: str, folder: Path) -> str:
    experiment = experiment_of(world, algorithm)
    store = ClientStore(folder, experiment.kept_shapes)
    if not world.aggregates:
        run_executor(world, experiment, store)
        return ""
    results: list[RoundResult] = []
    checkpoints = Checkpoints(folder / "checkpoint", 1000, 1, NoRecords())
    server = make_server(experiment, Snapshot())
    run_aggregator(
        world, server, store, RunCallbacks(Snapshot(), results.append, checkpoints, lambda: False)
    )
    checkpoints.close()
    state = server.state
    assert [result.plan.round_number for result in results] == [1, 2, 3]
    assert all(len(result.metrics) == len(result.plan.tasks) for result in results)
    assert all(result.tested is not None for result in results)
    told = repr(
        [(result.metrics.tolist(), result.tested and result.tested.scores) for result in results]
    )
    return hashlib.sha256(
        b"".join(state[name].tobytes() for name in sorted(state)) + told.encode()
    ).hexdigest()


@pytest.mark.parametrize("algorithm", ["fedavg", "fedprox", "fedyogi", "scaffold", "ditto", "ifca"])
def test_a_job_gives_the_same_bits_twice(world: World, shared_path: Path, algorithm: str) -> None:
    first = digest(world, algorithm, shared_path / "first")
    assert digest(world, algorithm, shared_path / "second") == first
