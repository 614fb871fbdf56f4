"""The median of each coordinate."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.updates import Aggregate, Updates


class Median(Aggregation):
    """An aggregation rule: the median of each coordinate (Yin et al., arXiv 1803.01498).

    Of an even number of updates it is the mean of the two in the middle. Weights do not count.
    """

    by_entry: ClassVar[bool] = True

    name: str = "median"

    def aggregate(self, updates: Updates) -> Aggregate:
        return updates.columns(median)


def median(columns: np.ndarray) -> np.ndarray:
    """Return the median (width,) float64 of each column of (n, width), n >= 1."""
    ordered = np.sort(columns, axis=0)
    low = ordered[(len(columns) - 1) // 2].astype(np.float64)
    return (low + ordered[len(columns) // 2]) / 2
