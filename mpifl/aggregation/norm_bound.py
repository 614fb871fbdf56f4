"""Updates that are too long are scaled down before the mean."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field, model_validator

from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.updates import Aggregate, Updates
from mpifl.shares import ceil_share


class NormBound(Aggregation):
    """An aggregation rule: the mean of updates of a bounded norm (Sun et al., arXiv 1911.07963).

    An update u is scaled by min(1, bound / |u|). The bound is ``norm``, or the ``quantile`` of the
    norms of the round's updates. All arrays of an update are scaled alike, by the norm of the first
    that the algorithm uploads. Averaged buffers, which are values and not differences, stay as
    they are.
    """

    rescales: ClassVar[bool] = True
    of_changes: ClassVar[bool] = True

    name: str = "norm_bound"
    norm: float | None = Field(None, gt=0, description="the largest norm of an update")
    quantile: float | None = Field(
        None, gt=0, le=1, description="instead: this quantile of the norms of a round"
    )

    @model_validator(mode="after")
    def _norm_or_quantile(self) -> NormBound:
        if (self.norm is None) == (self.quantile is None):
            raise ValueError("give norm or quantile, one of the two")
        return self

    def aggregate(self, updates: Updates) -> Aggregate:
        norms = updates.norms
        bound = self.norm
        if bound is None:
            bound = higher_quantile(norms, self.quantile or 1.0)
        scale = np.minimum(1.0, bound / np.maximum(norms, np.finfo(float).tiny))
        return updates.weighted(updates.weights * scale)


def higher_quantile(values: np.ndarray, share: float) -> float:
    """Return the quantile of values (n,); of two neighbours that it lies between, the higher one.

    As numpy's method "higher", but for products of floats that just miss a whole number.
    """
    place = ceil_share(share, len(values) - 1)
    return float(np.sort(values)[place])
