"""Networks with batch norm under every clock, in one process: running statistics are averages of what clients had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpifl.aggregator import make_server, run_aggregator
from mpifl.algorithms.algorithm import State
from mpifl.checkpoint import Checkpoints, Snapshot
from mpifl.client_state import ClientStore
from mpifl.experiment import Experiment
from mpifl.logbook import Logbook
from mpifl.mpi.world import World, connect
from mpifl.result import RoundResult
from mpifl.setup import check
from tests.normed import HERE

SMALL = [f"model.name={HERE}:Normed", "model.hidden=[32]", "data.partition={name: iid, clients: 40}"]
ALWAYS = "availability: always"


class NoRecords:
    """A run.h5 that is not there."""

    def rows(self) -> dict[str, int]:
        return {}

    def to_disk(self) -> None:
        return


@pytest.fixture(scope="module")
def world() -> World:
    return connect()


def run(world: World, folder: Path, *overrides: str) -> tuple[Experiment, State, list[RoundResult]]:
    experiment = check("quickstart", [*SMALL, *overrides])[0]
    assert isinstance(experiment, Experiment)
    results: list[RoundResult] = []
    folder = folder / str(len([*folder.iterdir()]))
    server = make_server(experiment, Snapshot())
    checkpoints = Checkpoints(folder, every=10**6, keep=1, records=NoRecords())
    store = ClientStore(folder / "clients", len(experiment.model.weights))
    run_aggregator(world, server, store, Logbook(Snapshot(), results.append, checkpoints, lambda: False))
    return experiment, server.state, results


def variances(experiment: Experiment, state: State) -> np.ndarray:
    model = experiment.model
    place = model.names.index("2.running_var")
    return state["model"][model.starts[place] : model.starts[place] + 32]


@pytest.mark.parametrize(
    "clock",
    [
        "clock={mode: buffered, concurrency: 30}",
        "clock={mode: semisync, concurrency: 13, window_seconds: 6}",
        "clock={mode: deadline, quantile: 0.5, overcommitment: 1.3}",
    ],
    ids=["buffered", "semisync", "deadline"],
)
def test_running_variances_stay_positive_and_the_model_learns(world: World, tmp_path: Path, clock: str) -> None:
    """Issue 12, point 3: differences of running statistics to stale bases made them negative, and the test loss NaN."""
    experiment, state, results = run(world, tmp_path, "rounds=25", clock)  # tested in every round
    assert (variances(experiment, state) > 0).all()
    assert results[-1].tested.scores["accuracy"] > 0.85
    assert np.isfinite(results[-1].tested.scores["loss"])


def test_an_asynchronous_clock_too(world: World, tmp_path: Path) -> None:
    clock = ("clock={mode: async, concurrency: 20, mixing: 0.6}", "selection.participants=1")
    experiment, state, results = run(world, tmp_path, "rounds=100", *clock, "evaluation.every=10")
    assert (variances(experiment, state) > 0).all()
    assert results[-1].tested.scores["accuracy"] > 0.7


def same(world: World, folder: Path, one: tuple[str, ...], other: tuple[str, ...]) -> None:
    (_, first, results), (_, second, _) = run(world, folder, *one), run(world, folder, *other)
    assert results[-1].tested.scores["accuracy"] > 0.3  # and there is something to compare
    assert first["model"].tobytes() == second["model"].tobytes()


def test_buffered_with_no_delay_is_fedavg(world: World, tmp_path: Path) -> None:
    """One at a time: who begins has the newest model."""
    one = ("rounds=12", "selection.participants=1", "evaluation.every=12")
    synchronous, buffered = f"clock={{mode: all, {ALWAYS}}}", f"clock={{mode: buffered, concurrency: 1, {ALWAYS}}}"
    same(world, tmp_path, (*one, synchronous), (*one, buffered))


def test_semisync_with_windows_in_which_all_finish_is_fedavg(world: World, tmp_path: Path) -> None:
    five = ("rounds=6", "selection.participants=5", "evaluation.every=6")
    window = f"clock={{mode: semisync, concurrency: 5, window_seconds: 100000, {ALWAYS}}}"
    same(world, tmp_path, (*five, f"clock={{mode: all, {ALWAYS}}}"), (*five, window))


def test_fedasync_that_takes_the_whole_model_is_fedavg_of_one(world: World, tmp_path: Path) -> None:
    one = ("rounds=12", "selection.participants=1", "evaluation.every=12")
    mixing = f"clock={{mode: async, concurrency: 1, mixing: 1.0, {ALWAYS}}}"
    same(world, tmp_path, (*one, f"clock={{mode: all, {ALWAYS}}}"), (*one, mixing))


@pytest.mark.parametrize("algorithm", ["scaffold", "fedyogi", "fedprox"])
def test_other_algorithms_average_the_buffers_as_fedavg_does(world: World, tmp_path: Path, algorithm: str) -> None:
    rounds = ("rounds=12", "evaluation.every=12", "training.lr=0.1")
    yogi = ("algorithm.server_lr=0.1",) if algorithm == "fedyogi" else ()
    experiment, state, results = run(world, tmp_path, *rounds, f"algorithm={algorithm}", *yogi)
    assert results[-1].tested.scores["accuracy"] > 0.8
    assert (variances(experiment, state) > 0).all()
    trainable = len(experiment.model.gradient)
    for name in set(state) - {"model", "v"}:  # control variates and moments of what no gradient moves
        assert state[name][:trainable].any()
        assert not state[name][trainable:].any()
