"""The same number of classes for everyone."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.datasets.partitioners.dealing import even_amounts, handed_out, shuffled_by
from mpifl.datasets.partitioners.partitioner import Partitioner, Samples
from mpifl.errors import InputError


class Classes(Partitioner):
    """Every client holds exactly classes_per_client classes; each class is shared evenly among those who hold it.

    NIID-Bench's "#C = k" (Li et al. 2022, arXiv 2102.02079) and Flower's PathologicalPartitioner: client i holds
    class i mod classes and k - 1 others at random. Where there are fewer clients than classes, the classes that are nobody's
    first go round before anything is drawn, so that no samples are left over; both of those drop them.
    """

    name: str = "classes"
    classes_per_client: int = Field(2, ge=1, description="classes that every client holds, neither more nor fewer")

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        """See Partitioner."""
        labels = self.classes_of(samples)
        names, label, stock = np.unique(labels, return_inverse=True, return_counts=True)
        self._check_classes(len(names))
        self.check_enough(samples.count, self.classes_per_client)
        held = self._held(len(names), random)
        holders = np.bincount(held.ravel(), minlength=len(names))
        if (holders > stock).any():
            short = int(np.argmax(holders > stock))
            raise InputError(
                f"data.partition.classes_per_client: {self.classes_per_client}: class {names[short]} fell to {holders[short]}"
                f" of {self.clients} clients and has {stock[short]} samples; allowed: fewer clients, or fewer classes for each"
            )
        owner = np.repeat(np.arange(self.clients), self.classes_per_client)
        kind = held.ravel()
        return handed_out(shuffled_by(label, random), kind, owner, even_amounts(kind, stock))

    def _check_classes(self, classes: int) -> None:
        each, key = self.classes_per_client, "data.partition.classes_per_client"
        if each > classes:
            raise InputError(f"{key}: {each} is more than the {classes} classes that the data has")
        if each * self.clients < classes:
            raise InputError(
                f"{key}: {each} classes for each of {self.clients} clients leave some of {classes} classes to nobody;"
                f" allowed: {-(-classes // self.clients)} or more"
            )

    def _held(self, classes: int, random: np.random.Generator) -> np.ndarray:
        """The classes (clients, classes_per_client) that each client holds, all different; every class is held."""
        held = np.empty((self.clients, self.classes_per_client), np.int64)
        nobodys_first = random.permutation(np.arange(min(self.clients, classes), classes))
        for client in range(self.clients):
            sure = np.concatenate([[client % classes], nobodys_first[client :: self.clients]])
            others = np.delete(np.arange(classes), sure)
            more = random.choice(others, self.classes_per_client - len(sure), replace=False)
            held[client] = np.concatenate([sure, more])
        return held
