"""Convolutions over time: size, shape, and the signals that they take."""

from __future__ import annotations

import pytest
import torch

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.models.cnn1d import Cnn1d
from mpifl.models.flat import flatten


def test_size_and_shape() -> None:
    flat = flatten(Cnn1d().build(DataShape("classification", (128, 9), 6)))
    assert len(flat.weights) == (9 * 5 * 32 + 32) + (32 * 5 * 64 + 64) + (64 * 6 + 6)
    assert flat.module(torch.randn(3, 128, 9)).shape == (3, 6)


def test_time_is_what_it_slides_over() -> None:
    torch.manual_seed(0)
    module = Cnn1d(channels=[4], kernel=1).build(DataShape("classification", (8, 2), 3))
    x = torch.randn(1, 8, 2)
    pairs = x.view(1, 4, 2, 2)[:, torch.tensor([2, 0, 3, 1])].view(
        1, 8, 2
    )  # pooling is by pairs, the mean over all of them
    torch.testing.assert_close(module(x), module(pairs))
    assert not torch.allclose(module(x), module(x[:, :, [1, 0]]))


@pytest.mark.parametrize("shape", [(128,), (3, 9), (128, 9, 1), ()])
def test_refuses_what_is_no_signal(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"model\.name.*4 readings or more"):
        Cnn1d().build(DataShape("classification", shape, 6))
