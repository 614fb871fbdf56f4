"""FedSAM against the paper's algorithm written down plainly, and its identities."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mpifl.algorithms.fedsam import FedSam
from mpifl.algorithms.requests import Train
from mpifl.errors import InputError
from mpifl.models.flat import flatten
from mpifl.models.layout import layout_of
from mpifl.objectives.make import objective_of
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.training.loop import loss_of
from mpifl.transforms.transform import Mixture
from tests.algorithms.reference import NORMED, Run, assert_close, assert_is_fedavg
from tests.algorithms.sides import context

RHO, ETA = 0.4, 0.2


def is_weight(run: Run) -> torch.Tensor:
    """Which entries of the model belong to a tensor that is called a weight."""
    mask = torch.zeros(run.layout.size, dtype=torch.bool)
    for name, where in run.layout.slices.items():
        mask[where] = name.endswith("weight")
    return mask


def sam(run: Run, g: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return RHO * g / g.norm()


def asam(run: Run, g: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    t = torch.where(is_weight(run), w.abs() + ETA, torch.ones_like(w))
    return RHO * t * t * g / (t * g).norm()


@pytest.mark.parametrize(("options", "ascent"), [("", sam), (f", eta: {ETA}", asam)])
def test_five_rounds_are_those_of_the_papers(tmp_path: Path, options: str, ascent: Any) -> None:
    run = Run(tmp_path, f"algorithm={{name: fedsam, rho: {RHO}{options}}}")
    lr = run.job.training.lr

    model = run.initial
    for number, participants in run.rounds():
        mean = torch.zeros_like(model)
        for client, share, steps in participants:
            w = model
            for x, y in run.batches(number, client, steps):
                near = w + ascent(run, run.gradient(w, x, y), w)
                w = w - lr * run.gradient(near, x, y)
            mean += share * (w - model)
        model = model + mean

    assert_close(run.state["model"], model, atol=2e-6)
    fedavg = Run(tmp_path / "fedavg").state["model"]
    assert (run.state["model"] - fedavg).abs().max() > 1e-3


@pytest.mark.parametrize("engine", ["loop", "stacked"])
def test_with_rho_0_it_is_fedavg_to_the_bit(tmp_path: Path, engine: str) -> None:
    assert_is_fedavg(tmp_path, "{name: fedsam, rho: 0}", f"training.engine={engine}")


def test_jobs_that_stack_clients_make_these_steps_one_client_at_a_time(tmp_path: Path) -> None:
    """Its loss is a function of its own: with either engine the loop makes the steps."""
    loop, stacked = (
        Run(tmp_path / engine, "algorithm=fedsam", f"training.engine={engine}").state["model"]
        for engine in ("loop", "stacked")
    )
    assert torch.equal(loop, stacked)


@pytest.mark.parametrize(
    "steps", ["{batch_size: 16, epochs: 3}", "{batch_size: 16, local_steps: 7}"]
)
def test_the_clock_charges_two_gradients_a_step(tmp_path: Path, steps: str) -> None:
    fedsam, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1", f"training={steps}")
        .results[0]
        .plan.timeline.participants
        for name in ("fedsam", "fedavg")
    )
    np.testing.assert_allclose(fedsam["compute_seconds"], 2 * fedavg["compute_seconds"])
    assert (fedsam["bytes_down"] == fedavg["bytes_down"]).all()
    assert (fedsam["bytes_up"] == fedavg["bytes_up"]).all()


def test_the_loss_that_is_recorded_is_that_of_the_weights_and_not_of_their_neighbours(
    tmp_path: Path,
) -> None:
    job = f"algorithm={{name: fedsam, rho: {RHO}}}", "training.batch_size=500", "rounds=1"
    run = Run(tmp_path, *job)  # one step of all samples
    for row in run.results[0].metrics:
        assert row["loss"] == pytest.approx(run.loss(run.initial, int(row["client"])), abs=1e-6)


def test_running_means_are_those_of_the_model_that_is_trained(tmp_path: Path) -> None:
    """The pass beside it leaves none behind: without steps in the model they are those of FedAvg."""
    fedsam, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", *NORMED, "training.lr=1e-30").state["model"]
        for name in ("fedsam", "fedavg")
    )
    assert torch.equal(fedsam, fedavg)


def asked_loss(module: nn.Sequential, **options: float) -> Callable[..., torch.Tensor]:
    """The loss that a client trains a module with."""
    model = flatten(module)
    objective = objective_of("classification", 3)
    c = context(
        {"model": model.moving.clone()},
        layout=layout_of(model),
        loss=lambda output, y: loss_of(objective, output, y),
    )
    request = next(FedSam(**options).client(c))
    assert isinstance(request, Train)
    assert request.loss is not None
    return request.loss


def gradients_of(loss: torch.Tensor, module: nn.Module) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(module.parameters())))


def test_dropout_hides_the_same_in_both_passes() -> None:
    """A tiny radius then changes the gradient as little."""
    torch.manual_seed(3)
    module = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3))
    x, y = torch.randn(20, 6), torch.arange(20) % 3
    loss_of_client = asked_loss(module, rho=1e-7)
    torch.manual_seed(5)
    found = gradients_of(loss_of_client(module, x, y), module)
    torch.manual_seed(5)
    for own, plain in zip(found, gradients_of(cross_entropy(module(x), y), module), strict=True):
        assert_close(own, plain)


def test_of_a_mixture_of_targets_the_neighbour_is_that_of_the_mixed_loss() -> None:
    torch.manual_seed(4)
    module = nn.Sequential(nn.Linear(5, 3))
    x, first, second = torch.randn(8, 5), torch.arange(8) % 3, torch.arange(8) % 2

    def mixed(w: list[torch.Tensor]) -> torch.Tensor:
        output = x @ w[0].T + w[1]
        return 0.3 * cross_entropy(output, first) + 0.7 * cross_entropy(output, second)

    w = [tensor.detach().clone().requires_grad_() for tensor in module.parameters()]
    g = torch.autograd.grad(mixed(w), w)
    norm = torch.cat([each.flatten() for each in g]).norm()
    near = [(a + RHO * b / norm).detach().requires_grad_() for a, b in zip(w, g, strict=True)]
    expected = torch.autograd.grad(mixed(near), near)

    loss = asked_loss(module, rho=RHO)(module, x, Mixture(first, second, 0.3))
    for found, wanted in zip(gradients_of(loss, module), expected, strict=True):
        assert_close(found, wanted)


def test_where_the_gradient_is_0_the_step_is_0() -> None:
    module = nn.Sequential(nn.Linear(4, 3))
    loss = asked_loss(module)(module, torch.randn(5, 4), torch.zeros(5, dtype=torch.int64))
    flat = nn.Sequential(nn.Linear(4, 1))  # the cross-entropy of one class is 0
    still = asked_loss(flat)(flat, torch.randn(5, 4), torch.zeros(5, dtype=torch.int64))
    assert all(g.abs().max() > 0 for g in gradients_of(loss, module))
    assert all(not g.any() for g in gradients_of(still, flat))


def test_an_eta_that_does_nothing_is_refused() -> None:
    said = "algorithm.eta: 0.2 does nothing with algorithm.rho 0; leave it out"
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        check_job("quickstart", ["algorithm={name: fedsam, rho: 0, eta: 0.2}"])
