"""The mean of each coordinate without its largest and smallest values."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.updates import Aggregate, Updates
from mpifl.shares import floor_share


class TrimmedMean(Aggregation):
    """An aggregation rule: leave out extremes of each coordinate (Yin et al., arXiv 1803.01498).

    Of n updates the floor(``trim`` x n) smallest and as many largest values of each coordinate are
    left out; the result is the plain mean of the others. Weights do not count.
    """

    by_entry: ClassVar[bool] = True

    name: str = "trimmed_mean"
    trim: float = Field(
        0.1, ge=0, lt=0.5, description="share of the updates that is left out at each end"
    )

    def aggregate(self, updates: Updates) -> Aggregate:
        out = floor_share(self.trim, len(updates))
        return updates.columns(lambda columns: trimmed_mean(columns, out))


def trimmed_mean(columns: np.ndarray, out: int) -> np.ndarray:
    """Return the mean (width,) of each column of (n, width) without ``out`` values at each end."""
    ordered = np.sort(columns, axis=0)[out : len(columns) - out]
    mean: np.ndarray = ordered.astype(np.float64).sum(axis=0) / len(ordered)
    return mean
