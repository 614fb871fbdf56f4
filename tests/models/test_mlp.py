"""Multilayer perceptron: its size, its layers, what it refuses."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from mpifl.datasets.dataset import DataShape
from mpifl.models.flat import flatten
from mpifl.models.mlp import Mlp


@pytest.mark.parametrize(
    ("hidden", "shape", "classes", "parameters"),
    [
        ([200, 200], (784,), 10, 199_210),  # McMahan et al.'s 2NN
        ([200, 200], (28, 28), 10, 199_210),
        ([64], (8, 8), 10, 64 * 64 + 64 + 64 * 10 + 10),
        ([5, 4, 3], (2,), 2, 2 * 5 + 5 + 5 * 4 + 4 + 4 * 3 + 3 + 3 * 2 + 2),
    ],
)
def test_size_and_shape(
    hidden: list[int], shape: tuple[int, ...], classes: int, parameters: int
) -> None:
    flat = flatten(Mlp(hidden=hidden).build(DataShape("classification", shape, classes)))
    assert len(flat.weights) == len(flat.gradient) == parameters
    assert flat.module(torch.randn(3, *shape)).shape == (3, classes)


def test_the_default_is_the_2nn() -> None:
    assert len(flatten(Mlp().build(DataShape("classification", (784,), 10))).weights) == 199_210


def test_relu_between_layers_and_none_after_the_last() -> None:
    flat = flatten(Mlp(hidden=[2]).build(DataShape("classification", (1,), 1)))
    flat.weights.copy_(
        torch.tensor([1.0, -1, 0, 0, 3, 5, -20])
    )  # hidden relu(x), relu(-x); out 3 a + 5 b - 20
    assert flat.module(torch.tensor([[2.0], [-2.0]])).tolist() == [[-14], [-10]]


@pytest.mark.parametrize("hidden", [[], [0], [-3]])
def test_refuses_no_layer_and_empty_layers(hidden: list[int]) -> None:
    with pytest.raises(ValidationError):
        Mlp(hidden=hidden)
