"""Centered clipping: updates are clipped around the result of the round before."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.geometric_median import distances_to
from mpifl.aggregation.updates import Aggregate, Updates


class CenteredClipping(Aggregation):
    """An aggregation rule: Karimireddy et al., ICML 2021 (arXiv 2012.10333).

    From v, the result of the round before (0 before the first), each step moves v by the mean of
    (u_i - v) min(1, ``radius`` / |u_i - v|). v is the server's, in its checkpoints; all arrays of
    an update are clipped alike, by the distance of the first that the algorithm uploads. Averaged
    buffers are averaged.
    """

    reference: ClassVar[Literal["none", "last", "root"]] = "last"

    rescales: ClassVar[bool] = True
    of_changes: ClassVar[bool] = True

    name: str = "centered_clipping"
    radius: float = Field(1.0, gt=0, description="the farthest that an update pulls")
    iterations: int = Field(3, ge=1, le=10_000, description="steps; the paper takes 1 to 3")

    def aggregate(self, updates: Updates) -> Aggregate:
        own = updates.weights / updates.weights.sum()
        factors = np.zeros(len(updates))
        factors[-1] = 1.0
        for _ in range(self.iterations):
            distances = distances_to(factors, updates.products)
            clip = self.radius / np.maximum(distances, self.radius)
            factors = factors * (1 - (own * clip).sum()) + own * clip
        return updates.combined(factors)
