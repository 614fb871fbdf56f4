"""FedProx: the proximal term pulls a client towards the global model.

FedScale has the sign the other way round (after each step ``p += lr * mu * (p - p_global)``), which pushes clients away.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mpifl.algorithms.algorithm import ClientContext
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.fedprox import FedProx
from mpifl.job.schema import Training
from mpifl.models.flat import flatten
from mpifl.objectives.classification import Classification
from mpifl.training.loop import Loop
from mpifl.training.participant import Adjust, LocalResult, Participant
from mpifl.training.samples import Pool

GLOBAL = torch.tensor([1.0, -1.0, 0.5])


def context(model: torch.Tensor = GLOBAL) -> ClientContext:
    return ClientContext({"model": model}, None, steps=1, lr=0.1)


def test_a_step_against_the_gradient_goes_towards_the_global_model() -> None:
    weights = torch.tensor([3.0, -3.0, 0.5])
    gradient = torch.zeros(3)
    FedProx(mu=0.5).adjust(gradient, weights, context())
    assert gradient.tolist() == [1.0, -1.0, 0.0]  # mu (w - w_global)
    after = weights - 0.1 * gradient
    assert (after - GLOBAL).norm() < (weights - GLOBAL).norm()  # FedScale's sign has > here


def test_is_the_derivative_of_half_mu_times_the_squared_distance() -> None:
    weights = torch.randn(3, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(0.3 / 2 * ((weights - GLOBAL.double()) ** 2).sum(), weights)
    gradient = torch.full((3,), 2.0)
    FedProx(mu=0.3).adjust(gradient, weights.detach().float(), context())
    torch.testing.assert_close(gradient, 2.0 + expected.float())


def test_without_mu_the_gradient_stays() -> None:
    gradient = torch.tensor([1.0, 2.0, 3.0])
    FedProx(mu=0).adjust(gradient, torch.randn(3), context())
    assert gradient.tolist() == [1, 2, 3]


def test_a_quadratic_ends_between_its_minimum_and_the_global_model() -> None:
    # a/2 (w - b)^2 + mu/2 (w - g)^2 is least at (a b + mu g) / (a + mu).
    a, b, mu = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([4.0, 0.0, -2.0]), 0.7
    weights = GLOBAL.clone()
    for _ in range(500):
        gradient = a * (weights - b)
        FedProx(mu=mu).adjust(gradient, weights, context())
        weights -= 0.1 * gradient
    torch.testing.assert_close(weights, (a * b + mu * GLOBAL) / (a + mu))


def test_local_training_minimises_loss_plus_proximal_term() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(12, 4), torch.randint(3, (12,))
    module = nn.Linear(4, 3)
    reference = nn.Linear(4, 3)
    reference.load_state_dict(module.state_dict())
    start = [p.detach().clone() for p in module.parameters()]
    sgd = torch.optim.SGD(reference.parameters(), 0.5, momentum=0.5)
    for _ in range(30):
        sgd.zero_grad()
        distance = sum(
            ((p - s) ** 2).sum() for p, s in zip(reference.parameters(), start, strict=True)
        )
        (cross_entropy(reference(x), y) + 0.8 / 2 * distance).backward()
        sgd.step()
    flat = flatten(module)
    base = flat.weights.clone()
    training = Training.model_validate({"batch_size": 12, "lr": 0.5, "momentum": 0.5})

    def trained(adjust: Adjust | None) -> LocalResult:
        one = Participant(
            base,
            Pool(x, y),
            slice(0, len(y)),
            30,
            lambda: np.random.default_rng(0),
            lambda: 0,
            adjust,
        )
        return Loop(flat, Classification(3), training)([one])[0]

    result = trained(partial(FedProx(mu=0.8).adjust, context=context(base)))
    expected = torch.cat([p.detach().flatten() for p in reference.parameters()])
    torch.testing.assert_close(base + result.update, expected, rtol=0, atol=1e-5)
    assert result.update.norm() < trained(None).update.norm()


def test_buffers_have_no_gradient() -> None:
    gradient = torch.zeros(2)
    FedProx(mu=1).adjust(
        gradient, torch.tensor([5.0, 5.0]), context(GLOBAL)
    )  # the third entry is a buffer's
    assert gradient.tolist() == [4.0, 6.0]


def test_the_server_averages_as_fedavg_does() -> None:
    state, mean = {"model": np.ones(3, np.float32)}, {"update": np.array([1.0, 2.0, -3.0])}
    assert FedProx(server_lr=0.5).step(state, mean, 2, 4)["model"].tolist() == [1.5, 2.0, -0.5]
    samples = np.array([3, 9])
    assert FedProx().weight(samples).tolist() == FedAvg().weight(samples).tolist() == [3, 9]


def test_refuses_a_negative_mu() -> None:
    with pytest.raises(ValueError, match="mu"):
        FedProx(mu=-0.1)
