"""Networks with batch norm under every clock, in one process: running statistics are averages of what clients had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mpifl.algorithms.arrays import Arrays
from mpifl.clock.timeline import Outcome
from mpifl.mpi.world import World, connect
from mpifl.rounds.aggregator import run_aggregator
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.round_result import RoundResult
from mpifl.rounds.plan.snapshot import Snapshot
from mpifl.rounds.server.server import make_server
from mpifl.state.checkpoint import Checkpoints
from tests.known import known
from tests.normed import HERE

SMALL = [
    f"model.name={HERE}:Normed",
    "model.hidden=[32]",
    "data.partition={name: iid, clients: 40}",
]
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


def run(
    world: World, folder: Path, *overrides: str
) -> tuple[Experiment, Arrays, list[RoundResult]]:
    experiment = check_job("quickstart", [*SMALL, *overrides])[0]
    assert isinstance(experiment, Experiment)
    results: list[RoundResult] = []
    folder = folder / str(len([*folder.iterdir()]))
    server = make_server(experiment, Snapshot())
    checkpoints = Checkpoints(folder, every=10**6, keep=1, records=NoRecords())
    store = ClientStore(folder / "clients", experiment.kept_shapes)
    run_aggregator(
        world, server, store, RunCallbacks(Snapshot(), results.append, checkpoints, lambda: False)
    )
    return experiment, server.state, results


def variances(experiment: Experiment, state: Arrays) -> np.ndarray:
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
def test_running_variances_stay_positive_and_the_model_learns(
    world: World, tmp_path: Path, clock: str
) -> None:
    """Issue 12, point 3: differences of running statistics to stale bases made them negative, and the test loss NaN."""
    experiment, state, results = run(world, tmp_path, "rounds=25", clock)  # tested in every round
    assert (variances(experiment, state) > 0).all()
    assert known(results[-1].tested).scores["accuracy"] > 0.85
    assert np.isfinite(known(results[-1].tested).scores["loss"])


def test_an_asynchronous_clock_too(world: World, tmp_path: Path) -> None:
    clock: tuple[str, ...] = (
        "clock={mode: async, concurrency: 20, mixing: 0.6}",
        "algorithm=fedasync",
    )
    clock += ("selection.participants=1",)
    experiment, state, results = run(world, tmp_path, "rounds=100", *clock, "evaluation.every=10")
    assert (variances(experiment, state) > 0).all()
    assert known(results[-1].tested).scores["accuracy"] > 0.7


def same(world: World, folder: Path, one: tuple[str, ...], other: tuple[str, ...]) -> None:
    (_, first, results), (_, second, _) = run(world, folder, *one), run(world, folder, *other)
    assert known(results[-1].tested).scores["accuracy"] > 0.3  # and there is something to compare
    assert first["model"].tobytes() == second["model"].tobytes()


def test_buffered_with_no_delay_is_fedavg(world: World, tmp_path: Path) -> None:
    """One at a time: who begins has the newest model."""
    one = ("rounds=12", "selection.participants=1", "evaluation.every=12")
    synchronous, buffered = (
        f"clock={{mode: all, {ALWAYS}}}",
        f"clock={{mode: buffered, concurrency: 1, {ALWAYS}}}",
    )
    same(world, tmp_path, (*one, synchronous), (*one, buffered))


def test_semisync_with_windows_in_which_all_finish_is_fedavg(world: World, tmp_path: Path) -> None:
    five = ("rounds=6", "selection.participants=5", "evaluation.every=6")
    window = f"clock={{mode: semisync, concurrency: 5, window_seconds: 100000, {ALWAYS}}}"
    same(world, tmp_path, (*five, f"clock={{mode: all, {ALWAYS}}}"), (*five, window))


def test_an_asynchronous_clock_with_no_delay_is_fedavg_of_one(world: World, tmp_path: Path) -> None:
    one = ("rounds=12", "selection.participants=1", "evaluation.every=12")
    mixing = f"clock={{mode: async, concurrency: 1, mixing: 1.0, {ALWAYS}}}"
    same(world, tmp_path, (*one, f"clock={{mode: all, {ALWAYS}}}"), (*one, mixing))


def test_fedasync_that_takes_the_whole_model_is_fedavg_of_one(world: World, tmp_path: Path) -> None:
    """Up to rounding: one sums the model, the other what changed in it."""
    one = ("rounds=12", "selection.participants=1", "evaluation.every=12")
    mixing = f"clock={{mode: async, concurrency: 1, mixing: 1.0, {ALWAYS}}}"
    _, first, _ = run(world, tmp_path, *one, f"clock={{mode: all, {ALWAYS}}}")
    _, second, _ = run(world, tmp_path, *one, mixing, "algorithm=fedasync")
    np.testing.assert_allclose(first["model"], second["model"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("algorithm", ["scaffold", "fedyogi", "fedprox", "ditto", "ifca"])
def test_other_algorithms_average_the_buffers_as_fedavg_does(
    world: World, tmp_path: Path, algorithm: str
) -> None:
    rounds = ("rounds=12", "evaluation.every=12", "training.lr=0.1")
    yogi = ("algorithm.server_lr=0.1",) if algorithm == "fedyogi" else ()
    experiment, state, results = run(world, tmp_path, *rounds, f"algorithm={algorithm}", *yogi)
    assert known(results[-1].tested).scores["accuracy"] > 0.8
    assert (variances(experiment, state) > 0).all()
    trainable = len(experiment.model.gradient)
    if algorithm == "ifca":
        assert all((variances(experiment, {"model": model}) > 0).all() for model in state["models"])
    # Control variates and moments of what no gradient moves.
    for name in set(state) - {"model", "models", "v"}:
        assert state[name][:trainable].any()
        assert not state[name][trainable:].any()


def test_a_last_batch_of_one_sample_is_left_out(world: World, tmp_path: Path) -> None:
    """Issue 12, point 11: "Expected more than 1 value per channel". 1,438 samples: 35 or 36 a client, in sevens."""
    sevens = ("rounds=2", "training.batch_size=7", "training.epochs=2")
    experiment, _, results = run(world, tmp_path, *sevens)
    held = {int(n) for n in experiment.population.samples(np.arange(40))}
    assert held == {35, 36}
    rows = np.concatenate([result.plan.timeline.participants for result in results])
    assert set(rows["steps"].tolist()) == {2 * 5}
    assert set(rows["samples"].tolist()) == {2 * 35}
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        run(world, tmp_path, *sevens, "training.drop_last=false")


def test_partial_work_is_counted_as_it_is_done(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The samples that the network was shown in training, against those that the clock says."""
    shown: list[int] = []
    forward = nn.BatchNorm1d.forward

    def counting(layer: nn.BatchNorm1d, x: torch.Tensor) -> torch.Tensor:
        shown.append(len(x) if layer.training else 0)
        return forward(layer, x)

    monkeypatch.setattr(nn.BatchNorm1d, "forward", counting)
    deadline = "clock={mode: deadline, quantile: 0.3, overcommitment: 1.3}"
    work = ("rounds=3", "training.batch_size=5", "training.epochs=3", deadline)
    _, _, results = run(world, tmp_path, *work)
    trained = [result.plan.timeline.participants for result in results]
    rows = np.concatenate([rows[rows["outcome"] == Outcome.COMPLETED] for rows in trained])
    assert sum(shown) == rows["samples"].sum()
    assert np.count_nonzero(shown) == rows["steps"].sum()
    assert len({*rows["steps"].tolist()}) > 2  # some did less than all


def test_clients_with_one_sample_fail_alone_where_they_may(world: World, tmp_path: Path) -> None:
    few = (
        "rounds=3",
        "data.partition={name: dirichlet, clients: 400}",
        "selection.participants=60",
    )
    experiment, state, results = run(world, tmp_path, *few, "runtime.on_client_error=drop")
    failed = np.concatenate(
        [result.metrics[result.metrics["failed"] > 0]["client"] for result in results]
    )
    assert len(failed) > 0
    assert set(experiment.population.samples(failed).tolist()) == {1}
    assert (variances(experiment, state) > 0).all()
