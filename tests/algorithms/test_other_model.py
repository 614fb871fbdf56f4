"""Another model's output in the module that is trained: right for every kind of layer, and without a trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mpifl.algorithms.other_model import output_with, parameters_in
from mpifl.models.flat import FlatModel, flatten
from mpifl.models.layout import layout_of


class Tied(nn.Module):
    """A layer with two names, and one that shares its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = self.first
        self.third = nn.Linear(6, 6)
        self.third.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.third(self.second(self.first(x).relu()))


def frozen() -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    module[0].requires_grad_(False)
    return module


MODULES = {
    "convolutions, stored with the channels last": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)),
        (7, 2, 3, 3),
    ),
    "batch norm": (lambda: nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)), (7, 6)),
    "tied": (Tied, (7, 6)),
    "frozen": (frozen, (7, 6)),
}


def made(kind: str) -> tuple[FlatModel, torch.Tensor, torch.Tensor]:
    """A model, the weights of another, and a batch."""
    torch.manual_seed(3)
    build, shape = MODULES[kind]
    model = flatten(build().train())
    return model, torch.rand(len(model.moving)) + 0.1, torch.randn(shape)


def trained(model: FlatModel) -> list[nn.Parameter]:
    return [parameter for parameter in model.module.parameters() if parameter.requires_grad]


@pytest.mark.parametrize("kind", MODULES)
def test_gives_what_the_module_gives_with_these_weights(kind: str) -> None:
    model, other, x = made(kind)
    layout, own, kept = layout_of(model), model.weights.clone(), other.clone()
    found = output_with(model.module, layout, other, parameters_in(model.module, layout, other), x)

    assert torch.equal(model.weights, own)
    assert torch.equal(other, kept)
    model.check_trained()
    model.load(other)
    assert torch.equal(found, model.module(x))


@pytest.mark.parametrize("kind", MODULES)
def test_gives_the_gradients_that_the_module_gives(kind: str) -> None:
    model, other, x = made(kind)
    parameters = parameters_in(model.module, layout_of(model), other)
    for parameter in parameters.values():
        parameter.requires_grad_()
    output = output_with(model.module, layout_of(model), other, parameters, x)
    found = torch.autograd.grad(output.square().sum(), list(parameters.values()))

    assert all(one is two for one, two in zip(trained(model), model.parameters, strict=True))
    model.load(other)
    expected = torch.autograd.grad(model.module(x).square().sum(), model.parameters)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two)


def test_counts_of_batches_and_running_means_stay() -> None:
    model, other, x = made("batch norm")
    before = {name: buffer.clone() for name, buffer in model.module.named_buffers()}
    layout = layout_of(model)
    output_with(model.module, layout, other, parameters_in(model.module, layout, other), x)
    for name, buffer in model.module.named_buffers():
        assert torch.equal(buffer, before[name])


def test_dropout_hides_the_same_in_the_next_pass() -> None:
    model = flatten(nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 6)).train())
    layout, x = layout_of(model), torch.randn(20, 6)
    torch.manual_seed(5)
    alone = model.module(x)
    torch.manual_seed(5)
    parameters = parameters_in(model.module, layout, model.moving)
    beside = output_with(model.module, layout, model.moving, parameters, x)
    assert torch.equal(beside, alone)
    assert torch.equal(model.module(x), alone)
