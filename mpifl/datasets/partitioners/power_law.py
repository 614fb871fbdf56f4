"""Sizes by a power law."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.datasets.partitioners.dealing import apportioned, dealt_at_random
from mpifl.datasets.partitioners.partitioner import Partitioner, Samples


class PowerLaw(Partitioner):
    """The r-th largest client holds samples in proportion to r^-exponent; labels are iid.

    This is Zipf's rank-size rule, a Pareto tail of index 1 / exponent. Sizes are rounded up or down
    so that all samples are dealt. Sizes below min_samples are raised to it; the others keep their
    proportions. Which client has which rank is drawn. Exponents -1 and -2 give the sizes of
    Flower's LinearPartitioner and SquarePartitioner, 0 gives equal sizes.
    """

    name: str = "power_law"
    exponent: float = Field(
        1.0, ge=-100, le=100, description="how fast sizes fall with the rank; 0: equal sizes"
    )
    min_samples: int = Field(1, ge=1, description="samples that every client has at least")

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        self.check_enough(samples.count, self.min_samples)

        logarithm = -self.exponent * np.log(np.arange(1, self.clients + 1))
        weights = np.exp(logarithm - logarithm.max())
        sizes = apportioned(weights, samples.count, self.min_samples)
        return dealt_at_random(random.permutation(sizes), random)
