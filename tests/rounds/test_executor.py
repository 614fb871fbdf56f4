"""Executor and aggregator alone in one process: what they do with models and algorithms that are out of the ordinary."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from mpifl.algorithms.arrays import MODEL, Array, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.fedyogi import FedYogi
from mpifl.algorithms.requests import Train, Trained
from mpifl.datasets.dataset import Part
from mpifl.errors import InputError, TrainingError, where
from mpifl.models.flat import flatten
from mpifl.models.layout import Layout
from mpifl.mpi.world import World, connect
from mpifl.optimizers.sgd import Sgd
from mpifl.record.model_file import write_model
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


class NoRecords:
    """A run.h5 that is not there."""

    def rows(self) -> dict[str, int]:
        return {}

    def to_disk(self) -> None:
        return


class Longer(FedAvg):
    uploaded: ClassVar[dict[str, Array]] = {"update": MODEL, "extra": MODEL}
    length: int

    def client(self, c: ClientContext) -> Program:
        trained: Trained = yield Train(c.received["model"])
        return Upload(update=trained.update, extra=torch.zeros(self.length))


class Normed(nn.Module):
    """A frozen layer, a batch norm, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Parameter(torch.ones(64), requires_grad=False)
        self.norm = nn.BatchNorm1d(64)
        self.out = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.norm(x.flatten(1) * self.frozen))
        return out


@pytest.fixture
def experiment() -> Experiment:
    overrides = [
        "rounds=4",
        "model={name: mlp, hidden: [8]}",
        "selection.participants=4",
        "training.batch_size=64",
    ]
    overrides += ["data.partition={name: dirichlet, clients: 10, min_samples: 4}"]
    found, _ = check_job("quickstart", overrides)
    assert isinstance(found, Experiment)
    return found


@pytest.fixture
def world() -> World:
    return connect()


def run(
    world: World, experiment: Experiment, folder: Path, **changes: object
) -> tuple[Arrays, list[RoundResult]]:
    changed = replace(experiment, job=experiment.job.model_copy(update=changes))
    results: list[RoundResult] = []
    store = ClientStore(folder / "clients", changed.kept_shapes)
    server = make_server(changed, Snapshot())
    checkpoints = Checkpoints(folder, every=10**6, keep=1, records=NoRecords())
    run_aggregator(
        world, server, store, RunCallbacks(Snapshot(), results.append, checkpoints, lambda: False)
    )
    return server.state, results


@pytest.mark.parametrize("length", [0, 7, 10_000])
def test_a_contribution_of_the_wrong_length_is_refused(
    world: World, experiment: Experiment, tmp_path: Path, length: int
) -> None:
    algorithm = Longer(name="longer", length=length)
    with pytest.raises(TrainingError, match=rf"extra is not usable: its shape is \({length},\)"):
        run(world, experiment, tmp_path, algorithm=algorithm)


def test_a_server_that_answers_in_float64_goes_on_in_float32(
    world: World, experiment: Experiment, tmp_path: Path
) -> None:
    class Wide(FedAvg):
        def server(self, s: ServerContext, mean: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"model": s.state["model"].astype(np.float64) + mean["update"]}

    wide, _ = run(world, experiment, tmp_path, algorithm=Wide())
    plain, _ = run(world, experiment, tmp_path, algorithm=FedAvg())
    assert wide["model"].dtype == np.float32
    assert wide["model"].tobytes() == plain["model"].tobytes()


TAKEN: list[int] = []


class CountsSteps(FedAvg):
    """Its server remembers outside of the state, which no resume would bring back."""

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        TAKEN.append(s.participants)
        return super().server(s, mean)


def test_a_server_that_remembers_outside_of_its_state_is_refused(
    world: World, experiment: Experiment, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match=r"carries state .*: TAKEN of test_executor\.py has changed"
    ) as error:
        run(world, experiment, tmp_path, algorithm=CountsSteps(name="counts"))
    assert where(error.value) == "round 1"


def test_running_means_are_averaged_whatever_the_server_does_and_frozen_weights_stay(
    world: World, experiment: Experiment, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = flatten(Normed())
    normed = replace(experiment, model=model, initial=model.moving.numpy().copy())
    training = experiment.job.training.model_copy(
        update={"optimizer": Sgd(weight_decay=0.1), "engine": "loop", "stack": 1}
    )
    state, results = run(
        world, normed, tmp_path, algorithm=FedYogi(server_lr=0.5), training=training
    )
    layout = normed.layout
    named = {name: state["model"][place] for name, place in layout.slices.items()}
    assert len(results) == 4
    assert "frozen" not in named  # it never travels
    assert model.module.get_parameter("frozen").eq(1).all()
    # A variance of features from 0 to 1 lies from 0 to 1/4, and so does every mean of such and of the 1 it began with.
    assert (named["norm.running_var"] >= 0).all()
    assert (named["norm.running_var"] < 1.01).all()
    assert (named["norm.running_mean"] >= 0).all()
    assert not np.array_equal(named["norm.running_mean"], np.zeros(64))


def test_the_mean_loss_of_a_large_test_part_is_exact_and_no_overflow(
    world: World, experiment: Experiment, tmp_path: Path
) -> None:
    data = experiment.population.data
    count = 700_000
    rows = np.arange(count) % len(known(data.test.y))
    test = Part(
        np.zeros((count, 8, 8), np.uint8),
        known(known(data).test.y)[rows],
        np.array([0, count]),
        np.array(["all"]),
    )
    large = replace(
        experiment, population=replace(experiment.population, dataset=replace(data, test=test))
    )
    evaluation = experiment.job.evaluation.model_copy(update={"every": 4, "batch_size": 350_000})
    _, results = run(world, large, tmp_path, evaluation=evaluation)
    tested = results[-1].tested
    assert tested is not None
    assert 1.5 < tested.scores["loss"] < 4  # all samples alike: about log(10)
    assert [result.tested is None for result in results] == [True, True, True, False]


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (np.zeros(3), r"extra has the shape \(3,\), declared is \(610,\)"),
        (None, "the algorithm's start does not return extra"),
        (np.full(610, np.nan), "nan"),
    ],
)
def test_a_state_to_begin_with_that_cannot_be_sent_is_refused(
    world: World, experiment: Experiment, tmp_path: Path, vector: np.ndarray | None, said: str
) -> None:
    class Strange(FedAvg):
        received: ClassVar[dict[str, Array]] = {"model": MODEL, "extra": MODEL}

        def start(
            self, model: np.ndarray, layout: Layout, random: np.random.Generator
        ) -> dict[str, np.ndarray]:
            return {"model": model} | ({} if vector is None else {"extra": vector})

    with pytest.raises(TrainingError, match=said):
        run(world, experiment, tmp_path, algorithm=Strange())


def test_a_model_with_a_buffer_that_is_not_saved_is_written(tmp_path: Path) -> None:
    class Masked(Normed):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mask", torch.ones(3), persistent=False)

            self.register_buffer("wide", torch.tensor([1 / 3], dtype=torch.float64))

    model = flatten(Masked())
    digest = write_model(tmp_path, model, model.moving.numpy().copy())
    written = load_file(tmp_path / "model.safetensors")
    assert written["mask"].tolist() == [1, 1, 1]
    assert written["wide"].tolist() == [1 / 3]  # in no vector, and so not hashed
    assert (
        digest
        == hashlib.sha256(b"".join(written[name].tobytes() for name in model.names)).hexdigest()
    )
