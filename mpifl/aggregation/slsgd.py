"""SLSGD: a trimmed mean, and only a part of the way to it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.trimmed_mean import trimmed_mean
from mpifl.aggregation.updates import Aggregate, Updates
from mpifl.shares import floor_share


class Slsgd(Aggregation):
    """An aggregation rule: a moving average with a trimmed mean (Xie et al., arXiv 1903.06996).

    The paper's model is (1 - alpha) times the old one plus alpha times the trimmed mean of the
    clients' models (its option II; option I is ``trim`` 0). With updates, which are differences to
    the old model, that is alpha times their trimmed mean. Averaged buffers, which are values,
    become their trimmed mean. Weights do not count.
    """

    by_entry: ClassVar[bool] = True
    of_changes: ClassVar[bool] = True

    name: str = "slsgd"
    alpha: float = Field(0.8, gt=0, le=1, description="how far the model goes; 1: all the way")
    trim: float = Field(
        0.2, ge=0, lt=0.5, description="share of the updates that is left out at each end"
    )

    def aggregate(self, updates: Updates) -> Aggregate:
        out = floor_share(self.trim, len(updates))

        def moved(columns: np.ndarray) -> np.ndarray:
            return self.alpha * trimmed_mean(columns, out)

        return updates.columns(moved, averaged=lambda columns: trimmed_mean(columns, out))
