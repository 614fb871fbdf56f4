"""AFL: the mixture weights by hand, and the paper's steps written down plainly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from mpifl.algorithms.afl import Afl, nearest_mixture
from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from tests.algorithms.reference import EQUAL, SETTING, Run, assert_close

AFL = "algorithm={name: afl, gamma_lambda: 0.3}"


def projected(point: np.ndarray) -> np.ndarray:
    """The nearest point of the simplex, by a general solver."""
    start = np.full(len(point), 1 / len(point))
    found = minimize(
        lambda x: ((x - point) ** 2).sum(),
        start,
        jac=lambda x: 2 * (x - point),
        bounds=[(0, None)] * len(point),
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    return found.x


def test_five_rounds_are_those_of_the_paper(tmp_path: Path) -> None:
    run = Run(tmp_path, AFL)
    model = run.initial.clone()
    mixture = np.full(run.clients, 1 / run.clients)
    for number, participants in run.rounds():
        losses = np.zeros(run.clients)
        step, weight = torch.zeros_like(model), 0.0
        for client, _, steps in participants:
            losses[client] = run.loss(model, client)
            update = run.sgd(model, number, client, steps) - model
            step += mixture[client] * update
            weight += mixture[client]
        model = model + step / weight
        mixture = projected(mixture + 0.3 * losses)

    assert mixture.min() == 0 or mixture.std() > 0.01
    assert_close(run.state["model"], model)
    assert_close(run.state["mixture"], torch.from_numpy(mixture), atol=1e-6)


def test_the_mixture_moves_to_the_clients_with_the_largest_losses_by_hand() -> None:
    assert nearest_mixture(np.array([0.5, 0.5])).tolist() == [0.5, 0.5]
    assert nearest_mixture(np.array([0.25, 1.25])).tolist() == [0.0, 1.0]
    found = nearest_mixture(np.array([0.5 + 0.3, 0.25 + 0.1, 0.25]))  # 0.4 too much: 0.4/3 off each
    np.testing.assert_allclose(found, [0.8 - 0.4 / 3, 0.35 - 0.4 / 3, 0.25 - 0.4 / 3])
    random = np.random.default_rng(1)
    for size in (1, 2, 7, 40):
        point = random.normal(size=size) * 3
        np.testing.assert_allclose(nearest_mixture(point), projected(point), atol=1e-6)


def test_with_equal_weights_that_stay_it_is_fedavg(tmp_path: Path) -> None:
    afl = Run(tmp_path / "a", "algorithm={name: afl, gamma_lambda: 0}", *EQUAL)
    fedavg = Run(tmp_path / "b", *EQUAL)
    assert_close(afl.state["mixture"], torch.full((12,), 1 / 12))
    assert_close(afl.state["model"], fedavg.state["model"])


def test_a_participant_sends_a_model_and_a_number_whatever_the_clients() -> None:
    few = check_job("quickstart", [*SETTING, AFL])[0]
    assert isinstance(few, Experiment)
    assert isinstance(few.job.algorithm, Afl)
    size = 4 * few.layout.size
    assert (few.workload.bytes_down, few.workload.bytes_up) == (size, size + 4)
    assert few.job.algorithm.clients == few.population.clients == 12


def test_a_server_that_learns_sums_alone_is_refused() -> None:
    with pytest.raises(InputError, match="its server looks at what single clients send"):
        check_job("quickstart", [*SETTING, AFL, "secure_aggregation=secagg"])
