"""Shares of counts, compared with exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from mpifl.shares import ceil_share, floor_share, share_of


@pytest.mark.parametrize("count", [1, 7, 25, 30, 100, 1000, 12_345])
def test_every_share_in_hundredths_is_that_of_the_fraction(count: int) -> None:
    for hundredths in range(151):
        exact = Fraction(hundredths, 100) * count
        share = hundredths / 100
        assert floor_share(share, count) == math.floor(exact)
        assert ceil_share(share, count) == math.ceil(exact)
        assert share_of(share, count) == pytest.approx(float(exact), abs=1e-9)


def test_floats_alone_miss_whole_numbers() -> None:
    assert (0.28 * 25 > 7, share_of(0.28, 25)) == (True, 7)
    assert (math.floor(0.29 * 100), floor_share(0.29, 100)) == (28, 29)
    assert (math.ceil(0.07 * 100), ceil_share(0.07, 100)) == (8, 7)
