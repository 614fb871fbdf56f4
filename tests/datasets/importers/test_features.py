"""Arrays of numbers on their way into a data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpifl.datasets.importers.features import Features
from mpifl.errors import InputError

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (np.array([[True, False]]), np.uint8),
        (np.array([[0, 255]], np.uint8), np.uint8),
        (np.array([[-(2**31), 2**31 - 1]]), np.int32),
        (np.array([[0.1, -2]], np.float64), np.float32),
        (np.array([[0.5]], np.float16), np.float32),
    ],
)
def test_numbers_have_one_of_three_types(x: np.ndarray, kind: Any) -> None:
    found = Features("none").stored("train", x, "here")
    assert found.dtype == kind
    assert np.array_equal(found, x.astype(kind))


@pytest.mark.parametrize(
    "x", [np.array([[1], [2**31]]), np.array([[1.0], [np.nan]]), np.array([[1], [1e39]])]
)
def test_what_does_not_fit_is_named(x: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^here, sample 1"):
        Features("none").stored("train", x, "here")


@pytest.mark.parametrize("x", [np.array(["a"]), np.array(1.0), np.array([1j])])
def test_what_is_no_number_is_refused(x: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^here"):
        Features("none").stored("train", x, "here")


@pytest.mark.parametrize(
    ("shape", "axes"), [((9, 3), (0,)), ((9, 4, 5), (0, 1, 2)), ((9, 4, 5, 3), (0, 1, 2))]
)
def test_train_is_made_standard(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """By feature, as one grey picture, by channel; the test part has no say."""
    x = RANDOM.integers(256, size=shape, dtype=np.uint8)
    features = Features("standard")
    stored = np.concatenate([features.stored("train", block, "here") for block in (x[:4], x[4:])])
    features.stored("test", np.zeros_like(x), "there")
    scale, shift = features.scaling
    expected = (x - x.mean(axis=axes, keepdims=True)) / x.std(axis=axes, keepdims=True)
    if x.ndim == 4:
        expected = expected.transpose(0, 3, 1, 2)
    assert np.allclose(stored * scale + shift, expected, atol=1e-5)


def test_floats_are_bytes_where_the_first_block_is() -> None:
    pixels = np.arange(256, dtype=np.float64)[None] / 255
    features = Features(None, "auto")
    assert features.stored("train", pixels, "a").tolist() == [list(range(256))]
    assert features.scaling == (1 / 255, 0.0)
    with pytest.raises(InputError, match=r"^b, sample 1: 0\.5; .*--features float32"):
        features.stored("train", np.array([[1.0], [0.5]]), "b")
    others = Features(None, "auto")
    assert others.stored("train", np.array([[0.5]]), "a").dtype == np.float32
    assert others.stored("train", pixels, "b").dtype == np.float32
    assert others.scaling == (1.0, 0.0)


@pytest.mark.parametrize("value", [-1 / 255, 256 / 255, 1 / 255 + 1e-6])
def test_only_a_byte_is_a_byte(value: float) -> None:
    assert Features(None, "auto").stored("train", np.array([[value]]), "a").dtype == np.float32
