"""What a partitioner is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from mpifl.errors import InputError
from mpifl.job.section import Section
from mpifl.population.partitioners import WITHOUT_CLASSES


@dataclass(frozen=True)
class Samples:
    """What a partitioner knows of the samples.

    Attributes:
        count: Number of samples.
        labels: Labels as the data set has them; classes are (count,) int64. None in a language task.
        coarse: Coarse class of each sample, (count,) int64, where the data has one.
    """

    count: int
    labels: np.ndarray | None = None
    coarse: np.ndarray | None = None


class Partitioner(Section):
    """Base of the partitioners: deals the train samples of a data set to clients.

    The seed is the partition's own, so that runs with different job seeds share a partition.
    """

    name: str
    clients: int = Field(100, ge=1, description="number of clients")
    seed: int = Field(0, ge=0, description="seed of the partition, independent of the job's")

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        """Return the client of each sample. Every client must get one sample or more.

        Args:
            samples: Number of samples, and their classes where the data has classes.
            random: Generator that depends on ``seed`` only.

        Returns:
            int64 (samples.count,), from 0 to clients - 1.

        Raises:
            InputError: The request cannot be met.
        """
        raise NotImplementedError

    def check_enough(self, samples: int, each: int = 1) -> None:
        """Raise InputError unless every client can hold ``each`` samples."""
        if samples < self.clients * each:
            raise InputError(
                f"data.partition.clients: {self.clients} clients of {each} or more samples need"
                f" {self.clients * each} samples; the data has {samples}"
            )

    def classes_of(self, samples: Samples) -> np.ndarray:
        """The class of each sample (count,), integers. Raises InputError when the samples have no classes."""
        labels = samples.labels
        if labels is None or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            found = "no labels" if labels is None else f"labels of {labels.dtype} {labels.shape[1:] or ''}".strip()
            raise InputError(
                f"data.partition.name: {self.name!r} deals by class and the data has {found};"
                f" allowed: {', '.join(WITHOUT_CLASSES)}"
            )
        return labels
