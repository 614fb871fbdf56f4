"""Equal shares at random."""

from __future__ import annotations

import numpy as np

from mpifl.datasets.partitioners.partitioner import Partitioner, Samples


class Iid(Partitioner):
    """Deal samples at random in equal parts; sizes differ by one at most."""

    name: str = "iid"

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        self.check_enough(samples.count)

        client = np.empty(samples.count, np.int64)
        client[random.permutation(samples.count)] = np.arange(samples.count) % self.clients
        return client
