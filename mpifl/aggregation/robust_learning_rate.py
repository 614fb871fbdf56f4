"""A learning rate for each coordinate: negative where too few updates agree on the direction."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.updates import Aggregate, Updates, summed
from mpifl.shares import share_of


class RobustLearningRate(Aggregation):
    """An aggregation rule: the mean, turned round where few agree (Ozdayi et al., AAAI 2021).

    Where the sum of the signs of a coordinate is smaller than ``threshold`` x n, its mean is
    multiplied by -1 (arXiv 2007.03767): what a few backdoor attackers push is pushed
    back. Averaged buffers are averaged.
    """

    by_entry: ClassVar[bool] = True
    of_changes: ClassVar[bool] = True

    name: str = "robust_learning_rate"
    threshold: float = Field(
        0.4, ge=0, le=1, description="size of the sum of signs that is enough, a share of n"
    )

    def aggregate(self, updates: Updates) -> Aggregate:
        own = updates.weights / updates.weights.sum()
        enough = share_of(self.threshold, len(updates))
        return updates.columns(
            lambda columns: summed(columns, own) * direction(columns, enough),
            averaged=lambda columns: summed(columns, own),
        )


def direction(columns: np.ndarray, enough: float) -> np.ndarray:
    """Return 1 for each column (n, width) whose signs add up to ``enough`` or more, else -1."""
    agreement = np.abs(np.sign(columns).sum(axis=0, dtype=np.float64))
    return np.where(agreement >= enough, 1.0, -1.0)
