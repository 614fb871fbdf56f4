"""Logistic regression: its size, and that it is one."""

from __future__ import annotations

import pytest
import torch

from mpifl.datasets.dataset import DataShape
from mpifl.models.flat import flatten
from mpifl.models.logreg import Logreg


@pytest.mark.parametrize(
    ("shape", "classes", "parameters"),
    [
        ((784,), 10, 7_850),
        ((28, 28), 10, 7_850),
        ((1, 28, 28), 62, 48_670),
        ((8, 8), 10, 650),
        ((3,), 2, 8),
    ],
)
def test_size_and_shape(shape: tuple[int, ...], classes: int, parameters: int) -> None:
    flat = flatten(Logreg().build(DataShape("classification", shape, classes)))
    assert len(flat.weights) == len(flat.gradient) == parameters
    assert flat.module(torch.randn(5, *shape)).shape == (5, classes)


def test_logits_are_linear_in_the_flattened_sample() -> None:
    flat = flatten(Logreg().build(DataShape("classification", (2, 2), 2)))
    flat.weights.copy_(torch.tensor([1.0, 2, 3, 4, 10, 20, 30, 40, 0.5, -0.5]))
    assert flat.module(torch.tensor([[[1.0, 1], [0, 2]]])).tolist() == [[11.5, 109.5]]
