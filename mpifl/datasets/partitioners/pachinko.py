"""Label skew at two levels: coarse classes and the fine classes below them."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.datasets.partitioners.dealing import dealt_in_turn, drawn
from mpifl.datasets.partitioners.partitioner import Partitioner, Samples
from mpifl.errors import InputError


class Pachinko(Partitioner):
    """Pachinko allocation: each client mixes coarse classes, and below each its fine classes.

    Reddi et al. 2021 (arXiv 2003.00295, the appendix on a federated CIFAR-100), after Li and
    McCallum 2006. With 500 clients and the default alpha and beta it is how TFF's CIFAR-100 was
    made (500 clients of 100 samples).

    A client draws q ~ Dirichlet(alpha, ..., alpha) over the coarse classes, and for each coarse
    class c a mixture r_c ~ Dirichlet(beta, ..., beta) over the fine classes below c. To draw a
    sample, it draws c by q, a fine class by r_c, and one of that class's samples without
    replacement. A fine class that has run out is removed from r_c; a coarse class whose fine
    classes have all run out is removed from q. The remaining shares are scaled to sum to 1.

    Clients hold equally many samples (one more or less) and draw one client after the other, so
    the last ones take what is left.
    """

    name: str = "pachinko"
    alpha: float = Field(0.1, gt=0, description="concentration over coarse classes")
    beta: float = Field(
        10.0, gt=0, description="concentration over the fine classes below a coarse one"
    )

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        labels = self.classes_of(samples)
        if samples.coarse is None:
            raise InputError(
                f"data.partition.name: {self.name!r} needs coarse labels, which the data has not"
                " (CIFAR-100 has); allowed: any other, such as dirichlet"
            )
        self.check_enough(samples.count)

        coarse = np.unique(samples.coarse, return_inverse=True)[1]
        fine_names, fine = np.unique(labels, return_inverse=True)

        # A leaf is a pair of a coarse and a fine class; leaves are sorted by coarse class.
        leaves, leaf = np.unique(coarse * len(fine_names) + fine, return_inverse=True)
        coarse_of_leaf = leaves // len(fine_names)
        below = np.split(np.arange(len(leaves)), np.flatnonzero(np.diff(coarse_of_leaf)) + 1)

        return dealt_in_turn(
            leaf, self.clients, lambda size, left: self._taken(size, left, below, random), random
        )

    def _taken(
        self, size: int, left: np.ndarray, below: list[np.ndarray], random: np.random.Generator
    ) -> np.ndarray:
        """Return how many samples of each leaf (leaves,) a client takes, ``size`` in all.

        ``left`` (leaves,) are the samples left of each; ``below[c]`` the leaves of coarse class c.
        """
        taken = np.zeros_like(left)
        stock = np.array([left[leaves].sum() for leaves in below])
        counts = drawn(size, np.full(len(below), self.alpha), stock, random)

        for leaves, count in zip(below, counts, strict=True):
            if count:
                beta = np.full(len(leaves), self.beta)
                taken[leaves] = drawn(int(count), beta, left[leaves], random)
        return taken
