"""What a partitioner is."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.errors import InputError
from mpifl.job.section import Section


class Partitioner(Section):
    """Deals samples to ``clients`` clients. Its seed is its own, so that runs with several job seeds share a partition."""

    name: str
    clients: int = Field(100, ge=1, description="how many clients the samples are dealt to")
    seed: int = Field(0, ge=0, description="the partition's own seed")

    def assign(self, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The client (int64, 0 to clients - 1) of each sample; every client holds one sample or more.

        labels (samples,) int64. Raises InputError when the request cannot be met.
        """
        raise NotImplementedError

    def check_enough(self, samples: int, each: int = 1) -> None:
        """Raise InputError unless every client can hold ``each`` samples."""
        if samples < self.clients * each:
            raise InputError(
                f"data.partition.clients: {self.clients} clients of {each} or more samples need"
                f" {self.clients * each} samples; the data has {samples}"
            )
