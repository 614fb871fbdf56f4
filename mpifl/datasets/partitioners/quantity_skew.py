"""Sizes by a Dirichlet distribution."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.datasets.partitioners.dealing import apportioned, dealt_at_random, dirichlet
from mpifl.datasets.partitioners.partitioner import Partitioner, Samples


class QuantitySkew(Partitioner):
    """Clients' shares of the samples are drawn from Dirichlet(alpha, ..., alpha); labels are iid.

    This is NIID-Bench's quantity skew (Li et al. 2022, arXiv 2102.02079). NIID-Bench draws again
    until every client has 10 samples, which may never end; here sizes below min_samples are raised
    to it, and the others keep their proportions.
    """

    name: str = "quantity_skew"
    alpha: float = Field(0.5, gt=0, description="concentration; smaller is more skewed")
    min_samples: int = Field(1, ge=1, description="samples that every client has at least")

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        self.check_enough(samples.count, self.min_samples)

        shares = dirichlet(np.full(self.clients, self.alpha), random)
        return dealt_at_random(apportioned(shares, samples.count, self.min_samples), random)
