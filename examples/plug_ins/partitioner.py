"""A partitioner of one's own: a few large clients and many small ones."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.datasets.partitioners.partitioner import Partitioner, Samples
from mpifl.errors import InputError


class TwoSizes(Partitioner):
    """Samples at random; a share of the clients gets ``factor`` times as many as the others."""

    name: str = "two_sizes"
    large: float = Field(0.1, ge=0, le=1, description="share of the clients that are large")
    factor: float = Field(
        5.0, ge=1, le=1e6, description="size of a large client, in sizes of a small one"
    )

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        """Return the client (int64) of each sample. Raises InputError: a client would get none."""
        sizes = np.ones(self.clients)
        sizes[: round(self.large * self.clients)] = self.factor

        ends = np.rint(samples.count * np.cumsum(sizes) / sizes.sum()).astype(np.int64)
        counts = np.diff(ends, prepend=0)
        if counts.min() < 1:
            raise InputError(
                f"data.partition.factor: {self.factor:g}: a small client would get no sample;"
                f" the data has {samples.count} for {self.clients} clients;"
                " take a smaller factor or fewer clients"
            )

        client = np.empty(samples.count, np.int64)
        client[random.permutation(samples.count)] = np.repeat(np.arange(self.clients), counts)
        return client
