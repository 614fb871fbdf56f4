"""FedNTD against the paper's loss written down plainly, and its identities."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mpifl.algorithms.fedntd import FedNTD, not_true
from mpifl.algorithms.requests import Train
from mpifl.datasets.dataset import Dataset, Part, write_dataset
from mpifl.errors import InputError
from mpifl.models.flat import flatten
from mpifl.models.layout import layout_of
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.transforms.transform import Mixture, of_targets
from tests.algorithms.reference import NORMED, Run, assert_close, assert_is_fedavg
from tests.algorithms.sides import context

BETA, TAU = 0.8, 2.5


def paper_loss(own: torch.Tensor, teacher: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sample by sample, class by class; of the model that is sent the numbers alone."""
    distance = torch.tensor(0.0)
    for z_l, z_g, target in zip(own, teacher.detach(), y.tolist(), strict=True):
        others = [c for c in range(len(z_l)) if c != target]
        total_l = sum(torch.exp(z_l[c] / TAU) for c in others)
        total_g = sum(torch.exp(z_g[c] / TAU) for c in others)
        for c in others:
            q_l, q_g = torch.exp(z_l[c] / TAU) / total_l, torch.exp(z_g[c] / TAU) / total_g
            distance = distance - q_g * torch.log(q_l / q_g) / len(own)
    return cross_entropy(own, y) + BETA * distance


def test_five_rounds_are_those_of_the_paper(tmp_path: Path) -> None:
    run = Run(tmp_path, f"algorithm={{name: fedntd, beta: {BETA}, tau: {TAU}}}", "training.lr=0.3")
    lr = run.job.training.lr

    model = run.initial
    for number, participants in run.rounds():
        mean = torch.zeros_like(model)
        for client, share, steps in participants:
            w = model
            for x, y in run.batches(number, client, steps):
                w = w.detach().requires_grad_()
                loss = paper_loss(run.output(w, x), run.output(model, x), y)
                w = w.detach() - lr * torch.autograd.grad(loss, w)[0]
            mean += share * (w - model)
        model = model + mean

    assert_close(run.state["model"], model, atol=5e-6)
    fedavg = Run(tmp_path / "fedavg", "training.lr=0.3").state["model"]
    assert (run.state["model"] - fedavg).abs().max() > 1e-3


@pytest.mark.parametrize("engine", ["loop", "stacked"])
def test_with_beta_0_it_is_fedavg_to_the_bit(tmp_path: Path, engine: str) -> None:
    assert_is_fedavg(tmp_path, "{name: fedntd, beta: 0}", f"training.engine={engine}")


def test_the_first_of_a_clients_steps_is_that_of_fedavg(tmp_path: Path) -> None:
    """Both models are the same, and their distance has no slope there."""
    step = "training={batch_size: 500, epochs: 1, lr: 0.1}", "training.engine=loop"
    fedntd, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", *step).state["model"]
        for name in ("{name: fedntd, beta: 5}", "fedavg")
    )
    assert_close(fedntd, fedavg)


def test_the_true_logits_do_not_matter() -> None:
    torch.manual_seed(2)
    own, teacher, y = torch.randn(6, 4), torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    before = not_true(own, teacher, y)
    for logits in (own, teacher):
        logits[torch.arange(6), y] += 100 * torch.randn(6)
    assert float(before) > 0.1
    assert_close(not_true(own, teacher, y), before)


def test_its_distance_by_hand() -> None:
    # Beside class 0: the teacher has (1/2, 1/2), the student (3/4, 1/4).
    own, teacher = torch.tensor([[9.0, math.log(3), 0.0]]), torch.tensor([[-5.0, 1.0, 1.0]])
    found = not_true(own, teacher, torch.tensor([0]))
    assert float(found) == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2))


def asked_loss(module: nn.Module, model: torch.Tensor) -> Callable[..., torch.Tensor]:
    """The loss with which a client trains a module when it was sent a model."""
    c = context(
        {"model": model},
        layout=layout_of(flatten(module)),
        loss=lambda output, y: of_targets(lambda target: cross_entropy(output, target), y),
    )
    request = next(FedNTD(beta=BETA, tau=TAU).client(c))
    assert isinstance(request, Train)
    assert request.loss is not None
    return request.loss


def test_of_a_mixture_of_targets_it_is_the_mixture_of_the_losses() -> None:
    torch.manual_seed(4)
    module = nn.Sequential(nn.Linear(5, 3))
    x, first, second = torch.randn(8, 5), torch.arange(8) % 3, torch.arange(8) % 2
    loss = asked_loss(module, torch.randn(18))
    parts = 0.3 * loss(module, x, first) + 0.7 * loss(module, x, second)
    assert_close(loss(module, x, Mixture(first, second, 0.3)), parts)


def test_dropout_hides_the_same_in_both_models() -> None:
    """So where they are the same model, the loss is the objective's."""
    torch.manual_seed(3)
    module = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3))
    x, y = torch.randn(20, 6), torch.arange(20) % 3
    loss = asked_loss(module, flatten(module).moving.clone())
    torch.manual_seed(5)
    found = loss(module, x, y)
    torch.manual_seed(5)
    assert_close(found, cross_entropy(module(x), y))


@pytest.mark.parametrize(
    "steps", ["{batch_size: 16, epochs: 3}", "{batch_size: 16, local_steps: 7}"]
)
def test_the_clock_charges_one_forward_pass_more(tmp_path: Path, steps: str) -> None:
    """Of three that a training sample costs."""
    fedntd, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1", f"training={steps}")
        .results[0]
        .plan.timeline.participants
        for name in ("fedntd", "fedavg")
    )
    np.testing.assert_allclose(fedntd["compute_seconds"], 4 / 3 * fedavg["compute_seconds"])
    assert (fedntd["bytes_down"] == fedavg["bytes_down"]).all()
    assert (fedntd["bytes_up"] == fedavg["bytes_up"]).all()


def test_running_means_are_those_of_the_model_that_is_trained(tmp_path: Path) -> None:
    """The pass through the other leaves none behind: without steps in the model they are FedAvg's."""
    fedntd, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", *NORMED, "training.lr=1e-30").state["model"]
        for name in ("fedntd", "fedavg")
    )
    assert torch.equal(fedntd, fedavg)


def test_a_temperature_that_does_nothing_is_refused() -> None:
    said = "algorithm.tau: 2 does nothing with algorithm.beta 0; leave it out"
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        check_job("quickstart", ["algorithm={name: fedntd, beta: 0, tau: 2}"])


def test_two_classes_leave_nothing_to_distil(tmp_path: Path) -> None:
    names = np.array(["a", "b"], "S")
    part = Part(np.zeros((4, 3), np.float32), np.arange(4) % 2, np.array([0, 2, 4]), names)
    facts: dict[str, Any] = {"task": "classification", "outputs": 2, "source": "", "licence": ""}
    write_dataset(tmp_path / "coins.h5", Dataset(name="coins", **facts, train=part, test=part))
    job = f"data={{name: {tmp_path / 'coins.h5'}, partition: natural}}", "selection.participants=2"
    said = "algorithm.name: 'fedntd' is not allowed: it distils two classes or more that a sample"
    with pytest.raises(InputError, match=f"^{said} is not of, and coins has 2 classes; allowed"):
        check_job("quickstart", ["algorithm=fedntd", "model=logreg", *job])
    check_job("quickstart", ["algorithm={name: fedntd, beta: 0}", "model=logreg", *job])
