"""Sums of a round, as the tests begin them."""

from __future__ import annotations

import numpy as np

from mpifl.aggregation.exact_sum import RoundSum
from mpifl.aggregation.sum_layout import SumLayout


def no_sums(layout: SumLayout) -> RoundSum:
    """The sums of a round to which nothing was added."""
    sums, averages = (np.zeros(shape, np.int64) for shape in layout.shapes(1))
    return RoundSum(sums[0], averages[0])
