"""A few shards of the sorted samples each."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.datasets.partitioners.dealing import shuffled_by
from mpifl.datasets.partitioners.partitioner import Partitioner, Samples
from mpifl.errors import InputError


class Shards(Partitioner):
    """Samples sorted by label are cut into clients x shards_per_client equal shards, and each client gets that many at random.

    McMahan et al. 2017 (arXiv 1602.05629, section 3), where 100 clients with 2 shards of 300 hold two digits each, mostly.
    Shards differ by one sample at most, so that all samples are dealt. Samples of one label are shuffled before.
    """

    name: str = "shards"
    shards_per_client: int = Field(2, ge=1, description="shards that every client gets")

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        """See Partitioner."""
        labels = self.classes_of(samples)
        shards = self.clients * self.shards_per_client
        if samples.count < shards:
            raise InputError(
                f"data.partition.shards_per_client: {self.shards_per_client}: {self.clients} clients of so many shards need"
                f" {shards} samples; the data has {samples.count}"
            )
        owner = random.permutation(shards) // self.shards_per_client
        client = np.empty(samples.count, np.int64)
        client[shuffled_by(labels, random)] = owner[np.arange(samples.count) * shards // samples.count]
        return client
