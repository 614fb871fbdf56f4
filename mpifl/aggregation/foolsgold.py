"""FoolsGold: clients whose updates have been alike so far count less."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.updates import Aggregate, Updates

ALMOST_ONE = 0.99
"""The authors' code puts it in the place of 1, of which the logarithm is infinite."""

NOTHING = 1e-12
"""A distance of directions that is rounding."""


class FoolsGold(Aggregation):
    """An aggregation rule against many attackers with one aim (Fung et al., RAID 2020).

    Each client has a history, the sum of the updates that it has sent in all rounds so far. Clients
    whose histories point in the same direction are taken for one attacker's, and count less
    (arXiv 1808.04866, algorithm 1): v_i is the largest cosine of i's history with another's;
    cosines with a client of larger v are scaled by v_i / v_j; a_i = 1 - the largest that is left,
    scaled to a maximum of 1; the update's weight is ``confidence`` x (ln(a_i / (1 - a_i)) + 0.5),
    kept within 0 and 1, times its own; all are scaled to the sum that they had. Where all are
    alike, nothing is taken. Histories are state of the clients (``checkpoint/clients``), of the
    first array that the algorithm uploads.
    """

    remembers: ClassVar[bool] = True

    of_changes: ClassVar[bool] = True

    name: str = "foolsgold"
    confidence: float = Field(1.0, gt=0, description="kappa: how fast likeness costs weight")

    def aggregate(self, updates: Updates) -> Aggregate:
        assert updates.histories is not None
        factors = likeness_factors(updates.histories.products, self.confidence)
        weights = updates.weights * factors
        if weights.any():
            weights = weights * (updates.weights.sum() / weights.sum())
        return updates.weighted(weights)


def likeness_factors(products: np.ndarray, confidence: float) -> np.ndarray:
    """Return FoolsGold's factor (n,), 0 to 1, of each client, given histories' inner products."""
    lengths = np.sqrt(np.maximum(products.diagonal(), 0.0))
    scale = np.maximum(lengths[:, None] * lengths[None, :], np.finfo(float).tiny)
    cosines = np.clip(products / scale, -1.0, 1.0)
    np.fill_diagonal(cosines, 0.0)

    largest = cosines.max(axis=1)
    pardon = np.ones_like(cosines)
    smaller = largest[:, None] < largest[None, :]
    np.divide(largest[:, None], largest[None, :], out=pardon, where=smaller)
    apart = np.clip(1 - (cosines * pardon).max(axis=1), 0.0, 1.0)
    if apart.max() < NOTHING:
        return np.zeros(len(products))

    apart = np.minimum(apart / apart.max(), ALMOST_ONE)
    with np.errstate(divide="ignore"):
        logit = confidence * (np.log(apart / (1 - apart)) + 0.5)
    factors: np.ndarray = np.clip(logit, 0.0, 1.0)
    return factors
