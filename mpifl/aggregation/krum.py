"""Krum: the update that is nearest to its neighbours."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.updates import Aggregate, Updates
from mpifl.shares import floor_share


class Krum(Aggregation):
    """An aggregation rule: take the update of the lowest score (Blanchard et al., NeurIPS 2017).

    Of n updates f = floor(``byzantine`` x n) may come from attackers. The score of an update is the
    sum of the squared distances to its n - f - 2 nearest others (at least 1). On a tie the client
    of the smaller number is taken. The paper's proof needs n >= 2f + 3.

    Distances are those of the first array that the algorithm uploads.
    """

    name: str = "krum"
    byzantine: float = Field(
        0.2, ge=0, lt=0.5, description="share of the updates that may come from attackers"
    )

    def aggregate(self, updates: Updates) -> Aggregate:
        scores = krum_scores(updates.distances, floor_share(self.byzantine, len(updates)))
        chosen = np.zeros(len(updates))
        chosen[np.argmin(scores)] = updates.weights.sum()
        return updates.weighted(chosen)


def krum_scores(distances: np.ndarray, byzantine: int) -> np.ndarray:
    """Return Krum's score (n,) of each update, given the squared distances (n, n)."""
    others = np.sort(distances + np.diag(np.full(len(distances), np.inf)), axis=1)
    neighbours = max(1, len(distances) - byzantine - 2)
    if len(distances) == 1:
        return np.zeros(1)
    scores: np.ndarray = others[:, : min(neighbours, len(distances) - 1)].sum(axis=1)
    return scores
