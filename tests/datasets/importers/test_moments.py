"""Mean and deviation of values that come in blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.datasets.importers.moments import Moments
from mpifl.errors import InputError

FLOAT = np.dtype(np.float32)


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    axis=st.integers(0, 3),
    seed=st.integers(0, 99),
    whole=st.booleans(),
)
def test_blocks_give_what_all_at_once_gives(
    shape: tuple[int, ...], cuts: list[int], axis: int, seed: int, whole: bool
) -> None:
    random = np.random.default_rng(seed)
    x = (
        random.integers(0, 256, (40, *shape)).astype(np.uint8)
        if whole
        else random.normal(1e4, 1, (40, *shape))
    )
    by = axis if 0 < axis <= len(shape) else None
    moments = Moments(by)
    for block in np.split(x, sorted(cuts)):
        moments.add(block)
    others = None if by is None else tuple(k for k in range(x.ndim) if k != by)
    mean, deviation = (
        x.mean(axis=others, keepdims=True, dtype=float),
        x.std(axis=others, keepdims=True, dtype=float),
    )
    scale, shift = moments.scaling("standard", FLOAT)
    assert np.shape(scale) == np.shape(shift) == (() if by is None else mean.shape[1:])
    assert np.broadcast_to(scale, mean.shape) == pytest.approx(1 / deviation, rel=1e-6)
    assert np.broadcast_to(shift, mean.shape) == pytest.approx(-mean / deviation, rel=1e-6)


def test_blocks_larger_than_what_is_turned_into_float64_at_once_are_cut() -> None:
    x = np.random.default_rng(0).integers(0, 256, (3000, 1000)).astype(np.uint8)
    moments = Moments()
    moments.add(x)
    scale, shift = moments.scaling("standard", x.dtype)
    assert (1 / scale, -shift / scale) == pytest.approx((x.std(), x.mean()))


def test_what_never_varies_is_only_shifted() -> None:
    moments = Moments(1)
    moments.add(np.array([[5.0, 1.0], [5.0, 3.0]]))
    scale, shift = moments.scaling("standard", FLOAT)
    assert scale.tolist() == [1, 1]  # type: ignore[union-attr]
    assert shift.tolist() == [-5, -2]  # type: ignore[union-attr]


def test_other_scalings_need_no_moments() -> None:
    moments = Moments()
    assert moments.scaling("none", FLOAT) == (1, 0)
    assert moments.scaling("unit", np.dtype(np.uint8)) == (1 / 255, 0)
    with pytest.raises(InputError, match="--normalise: 'unit' is for bytes"):
        moments.scaling("unit", FLOAT)
