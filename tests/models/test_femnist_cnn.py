"""The convolutional network: its size, and the images that it takes."""

from __future__ import annotations

import pytest
import torch

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.models.femnist_cnn import FemnistCnn
from mpifl.models.flat import flatten


def by_hand(colours: int, side: int, classes: int) -> int:
    """Two 5x5 convolutions of 32 and 64 channels without padding, each halved by pooling, then 512 units."""
    first = colours * 5 * 5 * 32 + 32
    second = 32 * 5 * 5 * 64 + 64
    side = ((side - 4) // 2 - 4) // 2
    return first + second + (64 * side * side * 512 + 512) + (512 * classes + classes)


@pytest.mark.parametrize(
    ("shape", "classes", "parameters"),
    [
        ((28, 28), 10, 582_026),
        ((1, 28, 28), 10, 582_026),
        ((28, 28), 62, 582_026 + 52 * 513),
        ((3, 32, 32), 10, by_hand(3, 32, 10)),
        ((16, 16), 2, by_hand(1, 16, 2)),
    ],
)
def test_size_and_shape(shape: tuple[int, ...], classes: int, parameters: int) -> None:
    flat = flatten(FemnistCnn().build(DataShape("classification", shape, classes)))
    assert len(flat.weights) == len(flat.gradient) == parameters
    assert flat.module(torch.randn(3, *shape)).shape == (3, classes)


def test_the_hand_count() -> None:
    assert by_hand(1, 28, 10) == 582_026


def test_an_image_that_is_not_square() -> None:
    flat = flatten(
        FemnistCnn(channels=(2, 3), hidden=4).build(DataShape("classification", (20, 28), 5))
    )
    # 20 -> 16 -> 8 -> 4 -> 2, 28 -> 24 -> 12 -> 8 -> 4
    assert len(flat.weights) == (25 * 2 + 2) + (2 * 25 * 3 + 3) + (3 * 2 * 4 * 4 + 4) + (4 * 5 + 5)
    assert flat.module(torch.randn(1, 20, 28)).shape == (1, 5)


def test_a_grey_image_with_and_without_its_channel_is_the_same() -> None:
    two = flatten(FemnistCnn().build(DataShape("classification", (28, 28), 10)))
    three = flatten(FemnistCnn().build(DataShape("classification", (1, 28, 28), 10)))
    three.weights.copy_(two.weights)
    x = torch.randn(2, 28, 28)
    assert torch.equal(two.module(x), three.module(x[:, None]))


@pytest.mark.parametrize("shape", [(8, 8), (15, 28), (28, 15), (784,), (1, 1, 28, 28), ()])
def test_refuses_what_is_no_image_of_16_pixels(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"model\.name.*16x16"):
        FemnistCnn().build(DataShape("classification", shape, 10))
