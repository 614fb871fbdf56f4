"""Where a rank trains: the model, the data and the sums on a device of their own give the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mpifl.rounds.clients.worker
from mpifl.aggregation.exact_sum import from_fixed
from mpifl.errors import InputError, TrainingError, where
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.clients.worker import Worker, make_worker
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.plan import TASK
from mpifl.rounds.tickets import _test, train_group
from mpifl.training.participant import LocalResult, Participant
from mpifl.training.recipe import Recipe
from tests.summed import no_sums

ELSEWHERE = torch.device("cpu", 0)
"""Another name for the host: what lies there is treated as on a GPU."""
TASKS = np.array(
    [
        (2, client, 2, 1, 0, steps, 8 * steps, 1.0, 0.25, 0, 0, 0)
        for client, steps in ((1, 3), (4, 7), (6, 5), (9, 4))
    ],
    TASK,
)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(name: str, which: Callable[[int], int]) -> torch.device:
        assert (name, which(4)) == ("cuda", 0)
        return ELSEWHERE

    monkeypatch.setattr(mpifl.rounds.clients.worker, "start_device", start)
    for name in ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)


def experiment(device: str, algorithm: str, engine: str) -> Experiment:
    overrides = [
        f"training.device={device}",
        f"algorithm.name={algorithm}",
        f"training.engine={engine}",
        "training.batch_size=8",
    ]
    model = [
        "model={name: mlp, hidden: [8]}",
        "data.partition={name: dirichlet, clients: 10, min_samples: 4}",
    ]
    found = check_job("quickstart", [*overrides, *model, "selection.participants=4"])[0]
    assert isinstance(found, Experiment)
    return found


def worker(experiment: Experiment, folder: Path) -> Worker:
    return make_worker(experiment, ClientStore(folder, experiment.kept_shapes))


def work(place: Worker, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sums and the metrics of a group, twice, since clients may keep something; and a shard's test."""
    found = place.experiment
    arrays = {
        name: found.initial if name == "model" else np.zeros(shape, np.float32)
        for name, shape in found.version_shapes.items()
    }
    part = no_sums(found.sums)
    for number in (2, 3):
        tasks = TASKS.copy()
        tasks["round"] = tasks["began"] = number
        tasks["state_round"] = 2 if found.kept_shapes and number == 3 else 0
        metrics = train_group(place, tasks, {1: arrays}, part, 0)
    return part.vectors, metrics, _test(place, 1, {1: arrays}, 0)[0]


@pytest.mark.parametrize("engine", ["stacked", "loop"])
@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold", "ditto", "ifca"])
def test_elsewhere_a_group_gives_the_same(
    elsewhere: None, algorithm: str, engine: str, tmp_path: Path
) -> None:
    there = worker(experiment("cuda", algorithm, engine), tmp_path / "there")
    assert there.device == there.samples.device == there.tested.device == ELSEWHERE
    assert there.model is not there.experiment.model
    found = work(there, tmp_path)
    with pytest.MonkeyPatch.context() as as_it_is:
        as_it_is.setattr(
            mpifl.rounds.clients.worker, "start_device", lambda name, which: torch.device(name)
        )
        here = worker(experiment("cpu", algorithm, engine), tmp_path / "here")
    assert here.model is here.experiment.model
    sums, metrics, tested = work(here, tmp_path)
    assert np.array_equal(found[2], tested)
    assert metrics["loss"] == pytest.approx(found[1]["loss"], abs=1e-6)
    off = 1e-6 if engine == "stacked" else 0  # whose batches are as wide as the batch size there
    np.testing.assert_allclose(from_fixed(found[0]), from_fixed(sums), rtol=0, atol=off)
    assert found[0].any()


def test_elsewhere_the_client_that_cannot_be_summed_is_named_too(
    elsewhere: None, tmp_path: Path
) -> None:
    place = make_worker(experiment("cuda", "fedavg", "stacked"), ClientStore(tmp_path, {}))

    def spoiling(recipe: Recipe, group: Sequence[Participant]) -> list[LocalResult]:
        results = [*place.engine(recipe, group)]
        results[2].weights[7] = torch.inf
        return results

    part = no_sums(place.experiment.sums)
    with pytest.raises(TrainingError, match=r"update is not usable: tensor .* is inf") as error:
        train_group(
            replace(place, engine=spoiling),
            TASKS,
            {1: {"model": place.experiment.initial}},
            part,
            0,
        )
    assert where(error.value) == f"round 2, client {place.experiment.population.client_name(6)}"
    assert not part.vectors.any()


def test_versions_are_loaded_once_and_forgotten_with_the_others(tmp_path: Path) -> None:
    place = make_worker(experiment("cpu", "fedavg", "stacked"), ClientStore(tmp_path, {}))
    versions = {number: {"model": np.full(610, number, np.float32)} for number in (1, 2)}
    first = place.version(1, versions)
    assert place.version(1, versions) is first
    place.version(2, versions)
    assert sorted(place.loaded) == [1, 2]
    other = {2: {"model": np.zeros(610, np.float32)}, 3: versions[1]}
    assert place.version(2, other)["model"].sum() == 0  # the same number, another version
    assert sorted(place.loaded) == [2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_there_is_no_such_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"training\.device: 'cuda' is not allowed"):
        make_worker(experiment("cuda", "fedavg", "stacked"), ClientStore(tmp_path, {}))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is seen here")
@pytest.mark.parametrize("engine", ["stacked", "loop"])
@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold", "ditto", "ifca"])
def test_on_a_gpu_a_group_gives_about_what_it_gives_here_and_the_same_each_time(
    algorithm: str, engine: str, tmp_path: Path
) -> None:
    found = [
        work(worker(experiment(device, algorithm, engine), tmp_path / str(number)), tmp_path)
        for number, device in enumerate(("cuda", "cuda", "cpu"))
    ]
    assert all(np.array_equal(again, first) for again, first in zip(*found[:2], strict=True))
    np.testing.assert_allclose(from_fixed(found[0][0]), from_fixed(found[2][0]), rtol=0, atol=1e-5)
