"""Equal shares at random."""

from __future__ import annotations

import numpy as np

from mpifl.population.partitioners.partitioner import Partitioner


class Iid(Partitioner):
    """A random permutation cut into equal parts; sizes differ by one at most."""

    name: str = "iid"

    def assign(self, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """See Partitioner."""
        self.check_enough(len(labels))
        client = np.empty(len(labels), np.int64)
        client[random.permutation(len(labels))] = np.arange(len(labels)) % self.clients
        return client
