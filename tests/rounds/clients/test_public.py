"""Public samples, and programs of the server's side."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import torch

from mpifl.algorithms.arrays import Arrays
from mpifl.algorithms.requests import Call, Train
from mpifl.clock.cost import Cost
from mpifl.clock.workload import Workload
from mpifl.errors import TrainingError
from mpifl.rounds.clients.public import public_inputs, run_server_program
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.training.device import CPU


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    found, _ = check_job(
        "quickstart",
        [
            "data.split={by: samples, test: 0.2, validation: 0.2}",
            "algorithm={name: feddf, public_samples: 30}",
        ],
    )
    assert isinstance(found, Experiment)
    return found


def test_public_samples_are_of_the_validation_part_and_others_in_each_round(
    experiment: Experiment,
) -> None:
    data = experiment.population.data
    part = {tuple(row) for row in data.validation.x.reshape(len(data.validation.x), -1).tolist()}
    first, again, second = (public_inputs(experiment, CPU, number) for number in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    shift: Any = data.feature_shift  # a number or an array
    stored = (first - shift) / data.feature_scale
    assert {tuple(row) for row in stored.reshape(30, -1).round().int().tolist()} <= part


def test_a_servers_program_gets_a_module_with_its_weights_and_draws_the_same_again(
    experiment: Experiment,
) -> None:
    weights = torch.arange(experiment.layout.size, dtype=torch.float32)

    def program() -> Generator[Call, Any, Arrays]:
        first = yield Call(lambda module, x, y: next(module.parameters()).detach().clone(), weights)
        drawn = yield Call(lambda module, x, y: torch.rand(3), weights)
        return {"first": first.numpy(), "drawn": drawn.numpy()}

    found, again = (run_server_program(experiment, 4, program()) for _ in range(2))
    assert np.array_equal(found["first"].reshape(-1)[:5], [0, 1, 2, 3, 4])
    assert np.array_equal(found["drawn"], again["drawn"])


def test_a_servers_program_that_asks_for_training_is_refused(experiment: Experiment) -> None:
    def program() -> Generator[Any, Any, Arrays]:
        yield Train(torch.zeros(experiment.layout.size))
        return {}

    with pytest.raises(TrainingError, match="its server yielded Train; allowed: Call"):
        run_server_program(experiment, 1, program())


def test_public_samples_cost_every_client_the_same() -> None:
    held = np.array([3, 50])
    work = Workload(1, 1, 10, 2, None, cost=Cost(public=40.0))
    steps = work.steps(held)
    costed = work.costed(np.arange(2), held, work.processed(held, steps), steps)
    assert costed.tolist() == [2 * 3 + 40, 2 * 50 + 40]
