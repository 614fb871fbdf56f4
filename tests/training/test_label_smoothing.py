"""training.label_smoothing in every engine and in a job; its loss and gradient are in tests/objectives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from mpifl.datasets.dataset import Dataset, write_dataset
from mpifl.errors import InputError
from mpifl.objectives.make import objective_of
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.training.loop import Loop
from tests.algorithms.reference import Run, assert_close
from tests.training.test_recipe import ALL, batches
from tests.training.test_stacked import OUTPUTS, RAGGED, group, made, work


@pytest.mark.parametrize("engine", ALL)
def test_all_engines_train_with_it_as_torch_does(engine: Any) -> None:
    flat, what, recipe = made("mlp"), objective_of("classification", OUTPUTS, 0.2), work()
    together = group(flat, "mlp", "classification", RAGGED)
    for one, result in zip(together, engine(flat, what)(recipe, together), strict=True):
        weights, losses = one.start.clone(), []
        for x, y in batches(recipe, one):
            flat.load(weights)
            each = cross_entropy(flat.module(x), y, reduction="none", label_smoothing=0.2)
            gradients = torch.autograd.grad(each.mean(), flat.parameters)
            weights -= recipe.lr * torch.cat([gradient.flatten() for gradient in gradients])
            losses += each.tolist()
        torch.testing.assert_close(result.weights, weights, rtol=0, atol=1e-6)
        assert result.loss == pytest.approx(np.mean(losses), abs=1e-6)
        (plain,) = Loop(flat, objective_of("classification", OUTPUTS))(recipe, [one])
        assert (plain.weights - weights).abs().max() > 1e-4


def test_a_job_trains_with_it_and_is_tested_without(tmp_path: Path) -> None:
    run = Run(tmp_path, "training.label_smoothing=0.2")
    model = run.initial
    for number, participants in run.rounds():
        mean = torch.zeros_like(model)
        for client, share, steps in participants:
            weights = model.clone()
            for x, y in run.batches(number, client, steps):
                weights.requires_grad_()
                loss = cross_entropy(run.output(weights, x), y, label_smoothing=0.2)
                (gradient,) = torch.autograd.grad(loss, weights)
                weights = weights.detach() - run.job.training.lr * gradient
            mean += share * (weights - model)
        model = model + mean
    assert_close(run.state["model"], model)

    data = run.experiment.population.data
    scale: Any = data.feature_scale  # a number or an array
    x = torch.from_numpy(data.test.x).float() * scale + data.feature_shift
    tested = cross_entropy(run.output(run.state["model"], x), torch.from_numpy(data.test.y))
    found = run.results[-1].tested
    assert found is not None
    assert found.scores["loss"] == pytest.approx(tested.item(), abs=1e-5)


def test_data_without_classes_are_refused(
    tmp_path: Path, make_dataset: Callable[..., Dataset]
) -> None:
    data = make_dataset([5, 7, 3])
    numbers: dict[str, Any] = {
        name: replace(part, y=np.ones((part.samples, 3), np.float32))
        for name, part in data.parts.items()
    }
    write_dataset(tmp_path / "numbers.h5", replace(data, task="regression", **numbers))
    overrides = [
        "rounds=1",
        f"data={{name: {tmp_path / 'numbers.h5'}}}",
        "selection.participants=2",
        "clock={mode: all, availability: always}",
    ]
    assert isinstance(check_job("quickstart", overrides)[0], Experiment)
    with pytest.raises(InputError) as error:
        check_job("quickstart", [*overrides, "training.label_smoothing=0.1"])
    assert str(error.value) == (
        "training.label_smoothing: 0.1 is not allowed: test is for regression, with objective.name"
        " regression; allowed: 0, or data for classification with objective.name classification"
    )


@pytest.mark.parametrize("value", ["1", "-0.1", "yes", ".nan"])
def test_it_is_a_share(value: str) -> None:
    with pytest.raises(InputError, match=r"training\.label_smoothing: ") as error:
        check_job("quickstart", [f"training.label_smoothing={value}"])
    assert len(error.value.lines) == 1
