"""Bulyan: several rounds of Krum, then a trimmed mean around the median."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.krum import krum_scores
from mpifl.aggregation.median import median
from mpifl.aggregation.updates import Aggregate, Updates
from mpifl.shares import floor_share


class Bulyan(Aggregation):
    """An aggregation rule: Krum's choice again and again, then by coordinate (arXiv 1802.07927).

    Of n updates f = floor(``byzantine`` x n) may come from attackers. n - 2f updates are selected,
    each as Krum takes one of those left. Of each coordinate the mean of the n - 4f selected values
    nearest to their median is taken (at least 1; of equally near ones the smaller). Weights do not
    count. The proof of El Mhamdi et al. needs n >= 4f + 3.
    """

    by_entry: ClassVar[bool] = True

    name: str = "bulyan"
    byzantine: float = Field(
        0.2, ge=0, lt=0.5, description="share of the updates that may come from attackers"
    )

    def aggregate(self, updates: Updates) -> Aggregate:
        count = len(updates)
        byzantine = floor_share(self.byzantine, count)
        selected = krum_selection(updates.distances, byzantine, max(1, count - 2 * byzantine))
        near = max(1, len(selected) - 2 * byzantine)
        return updates.columns(lambda columns: mean_around_median(columns, near), selected)


def krum_selection(distances: np.ndarray, byzantine: int, wanted: int) -> np.ndarray:
    """Return ``wanted`` rows (sorted), each of which Krum takes from those that are left.

    ``distances`` are the squared ones (n, n).
    """
    left = np.arange(len(distances))
    while len(left) > len(distances) - wanted:
        scores = krum_scores(distances[np.ix_(left, left)], byzantine)
        left = np.delete(left, np.argmin(scores))
    return np.setdiff1d(np.arange(len(distances)), left)


def mean_around_median(columns: np.ndarray, near: int) -> np.ndarray:
    """Return the mean (width,) of the ``near`` values of each column (n, width) at its median."""
    ordered = np.sort(columns, axis=0).astype(np.float64)
    distance = np.abs(ordered - median(columns))
    order = np.argsort(distance, axis=0, kind="stable")[:near]
    nearest = np.sort(np.take_along_axis(ordered, order, axis=0), axis=0)
    mean: np.ndarray = nearest.sum(axis=0) / near
    return mean
