"""Label skew by a Dirichlet distribution."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.population.partitioners.partitioner import Partitioner


class Dirichlet(Partitioner):
    """Each class is dealt out in proportions drawn from Dirichlet(alpha, ..., alpha) (Hsu et al. 2019, arXiv 1909.06335).

    A small alpha gives each client few classes. Clients left with fewer than min_samples take samples from the largest
    client, one at a time: the draw is never repeated, so this always ends.
    """

    name: str = "dirichlet"
    alpha: float = Field(0.5, gt=0, description="concentration; smaller is more skewed")
    min_samples: int = Field(1, ge=1, description="samples that every client has at least")

    def assign(self, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """See Partitioner."""
        self.check_enough(len(labels), self.min_samples)
        client = np.empty(len(labels), np.int64)
        for label in np.unique(labels):
            rows = random.permutation(np.flatnonzero(labels == label))
            shares = random.dirichlet(np.full(self.clients, self.alpha))
            cuts = np.rint(np.cumsum(shares)[:-1] * len(rows)).astype(np.int64)
            client[rows] = np.searchsorted(cuts, np.arange(len(rows)), side="right")
        self._fill_up(client, random)
        return client

    def _fill_up(self, client: np.ndarray, random: np.random.Generator) -> None:
        sizes = np.bincount(client, minlength=self.clients)
        for poor in np.flatnonzero(sizes < self.min_samples):
            while sizes[poor] < self.min_samples:
                rich = int(np.argmax(sizes))
                moved = random.choice(np.flatnonzero(client == rich))
                client[moved] = poor
                sizes[rich] -= 1
                sizes[poor] += 1
