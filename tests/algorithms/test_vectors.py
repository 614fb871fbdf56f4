"""Models given as vectors: the same tensors, gradients and statistics as those of the module with these weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mpifl.algorithms.vectors import gradient_at, output_with, same_draws, tensors_in, vector_of
from mpifl.models.flat import FlatModel, flatten
from mpifl.models.layout import layout_of


class Tied(nn.Module):
    """Convolutions, batch norm, a frozen layer, and a layer that is there twice."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 2))
        self.frozen = nn.Linear(16, 8).requires_grad_(False)
        self.first = nn.Linear(8, 8)
        self.again = self.first
        self.last = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of five classes."""
        hidden = self.frozen(self.convolutions(x).flatten(1))
        return self.last(self.again(self.first(hidden).relu()))


def named(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Every tensor, by every name."""
    return [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]


@pytest.fixture
def model() -> FlatModel:
    torch.manual_seed(0)
    return flatten(Tied())


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(6, 2, 5, 5, generator=random)
    return x, torch.randint(5, (6,), generator=random)


def test_the_vector_of_a_module_is_that_of_the_flat_model(model: FlatModel) -> None:
    layout = layout_of(model)
    assert torch.equal(vector_of(model.module, layout, model.weights), model.moving)


def test_its_tensors_are_those_of_the_module_by_every_name(model: FlatModel) -> None:
    module, layout = model.module, layout_of(model)
    views = tensors_in(module, layout, model.moving.clone())
    own = {name: tensor for name, tensor in named(module) if "num" not in name}
    assert set(views) == {name for name in own if "frozen" not in name}
    assert {"first.weight", "again.weight", "convolutions.1.running_var"} <= set(views)
    for name, view in views.items():
        assert torch.equal(view, own[name])


def test_gradient_and_statistics_are_those_of_the_module_with_these_weights(
    model: FlatModel, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    layout, (x, y) = layout_of(model), batch
    before = model.moving.clone()
    random = torch.Generator().manual_seed(2)
    vector = before + 0.1 * torch.rand(layout.size, generator=random)
    there = vector.clone()

    other = flatten(copy.deepcopy(model.module))
    other.load(vector)
    loss = cross_entropy(other.module(x), y)
    expected = torch.autograd.grad(loss, other.parameters)

    gradient, value = gradient_at(model.module, layout, there, cross_entropy, x, y)
    assert torch.equal(value, loss.detach())
    for name, piece in zip(layout.parameters, expected, strict=True):
        torch.testing.assert_close(tensors_in(model.module, layout, gradient)[name], piece)
    assert not gradient[layout.averages].any()

    assert torch.equal(there[layout.averages], other.moving[layout.averages])
    assert torch.equal(there[: layout.trained], vector[: layout.trained])
    assert torch.equal(model.moving, before)
    model.check_trained()


def test_the_module_keeps_its_own_tensors(
    model: FlatModel, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Also in a layer that is there twice, and the counts of batches."""
    layout, (x, y) = layout_of(model), batch
    module = model.module
    before = {name: (tensor, tensor.clone()) for name, tensor in named(module)}
    gradient_at(module, layout, model.moving + 0.1, cross_entropy, x, y)
    output_with(module, tensors_in(module, layout, model.moving + 0.1), x)
    for name, tensor in named(module):
        assert tensor is before[name][0]
        assert torch.equal(tensor, before[name][1])


def test_dropout_hides_the_same_in_the_pass_after_one_whose_draws_are_set_back() -> None:
    model = flatten(nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 6)).train())
    x = torch.randn(20, 6)
    torch.manual_seed(5)
    alone = model.module(x)
    torch.manual_seed(5)
    with same_draws(x.device):
        beside = output_with(model.module, {}, x)
    assert torch.equal(beside, alone)
    assert torch.equal(model.module(x), alone)
