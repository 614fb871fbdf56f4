"""Multi-Krum: the mean of several updates that are near to their neighbours."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.krum import krum_scores
from mpifl.aggregation.updates import Aggregate, Updates
from mpifl.shares import floor_share


class MultiKrum(Aggregation):
    """An aggregation rule: the mean of the updates of lowest score (Blanchard et al., 2017).

    Scores are those of ``krum``. The mean is weighted as the algorithm says. With ``kept`` 1 all
    updates are taken, and it is the mean.
    """

    name: str = "multi_krum"
    byzantine: float = Field(
        0.2, ge=0, lt=0.5, description="share of the updates that may come from attackers"
    )
    kept: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the updates that is taken; default: 1 - `byzantine`",
    )

    def aggregate(self, updates: Updates) -> Aggregate:
        count = len(updates)
        share = 1 - self.byzantine if self.kept is None else self.kept
        take = max(1, floor_share(share, count))
        if take == count:
            return updates.weighted(updates.weights)

        scores = krum_scores(updates.distances, floor_share(self.byzantine, count))
        taken = np.argsort(scores, kind="stable")[:take]
        weights = np.zeros(count)
        weights[taken] = updates.weights[taken]
        return updates.weighted(weights * (updates.weights.sum() / weights.sum()))
