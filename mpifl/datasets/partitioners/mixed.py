"""Part of every client's samples at random, the rest of one class."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.datasets.partitioners.dealing import apportioned, even_amounts, handed_out, shuffled_by
from mpifl.datasets.partitioners.partitioner import Partitioner, Samples
from mpifl.errors import InputError


class Mixed(Partitioner):
    """Of the samples, iid_share are dealt out equally at random; of the rest each client gets samples of a single class.

    Flower (Beutel et al. 2020, arXiv 2007.14390, section 3.4: "50% i.i.d, 50% non-i.i.d"). Clients are shared among the
    classes in proportion to what is left of each class, one or more for each, and those of a class share it evenly: equal sizes
    where classes are equally large and clients a multiple of them.
    """

    name: str = "mixed"
    iid_share: float = Field(0.5, ge=0, le=1, description="share of the samples that is dealt out at random")

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        """See Partitioner."""
        labels = self.classes_of(samples)
        self.check_enough(samples.count)
        shuffled = random.permutation(samples.count)
        first = round(self.iid_share * samples.count)
        client = np.empty(samples.count, np.int64)
        client[shuffled[:first]] = np.arange(first) % self.clients
        if first < samples.count:
            rest = shuffled[first:]
            client[rest] = self._one_class_each(labels[rest], random)
        return client

    def _one_class_each(self, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        _, label, stock = np.unique(labels, return_inverse=True, return_counts=True)
        if len(labels) < self.clients:
            raise InputError(
                f"data.partition.iid_share: {self.iid_share:g} leaves {len(labels)} samples for one class each of"
                f" {self.clients} clients; allowed: 1, or less than that so that {self.clients} are left"
            )
        if self.clients < len(stock):
            raise InputError(
                f"data.partition.clients: {self.clients} clients of one class each leave classes to nobody; the data has"
                f" {len(stock)}; allowed: {len(stock)} or more"
            )
        kind = random.permutation(np.repeat(np.arange(len(stock)), apportioned(stock, self.clients, 1)))
        return handed_out(shuffled_by(label, random), kind, np.arange(self.clients), even_amounts(kind, stock))
