"""Sizes by a power law."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.population.partitioners.dealing import apportioned, dealt_at_random
from mpifl.population.partitioners.partitioner import Partitioner, Samples


class PowerLaw(Partitioner):
    """The r-th client by size holds a number of samples in proportion to r^-exponent, whichever samples: labels are iid.

    Zipf's rank-size rule, a Pareto tail of index 1 / exponent. Sizes are rounded up or down so that all samples are dealt; what
    would be below min_samples is raised to it, and the others keep their proportions. Who has which rank is drawn. Exponents -1
    and -2 give the sizes of Flower's LinearPartitioner and SquarePartitioner, 0 equal ones.
    """

    name: str = "power_law"
    exponent: float = Field(
        1.0, ge=-100, le=100, description="the r-th largest client gets a share in proportion to r^-exponent"
    )
    min_samples: int = Field(1, ge=1, description="samples that every client has at least")

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        """See Partitioner."""
        self.check_enough(samples.count, self.min_samples)
        logarithm = -self.exponent * np.log(np.arange(1, self.clients + 1))
        sizes = apportioned(np.exp(logarithm - logarithm.max()), samples.count, self.min_samples)
        return dealt_at_random(random.permutation(sizes), random)
