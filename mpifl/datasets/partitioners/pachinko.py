"""Label skew at two levels: coarse classes and the fine ones below them."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.datasets.partitioners.dealing import dealt_in_turn, drawn
from mpifl.datasets.partitioners.partitioner import Partitioner, Samples
from mpifl.errors import InputError


class Pachinko(Partitioner):
    """Pachinko allocation: every client has a mixture of coarse classes, and below each of them one of its fine classes.

    Reddi et al. 2021 (arXiv 2003.00295, the appendix on a federated CIFAR-100), after Li and McCallum 2006; with 500 clients
    and the default alpha and beta it is how TFF's CIFAR-100 was made (500 clients of 100 samples). A client draws
    q ~ Dirichlet(alpha, ..., alpha) over the coarse classes and r_c ~ Dirichlet(beta, ..., beta) over the fine classes below
    each c; a sample is a draw of c by q, then of a fine class by r_c, then of one of its samples without replacement. A fine
    class that has run out is left out of r_c, and a coarse class all of whose fine ones have is left out of q, the others being
    scaled to sum to 1. Clients hold equally many samples (one more or less) and are served in turn: the last take what is left.
    """

    name: str = "pachinko"
    alpha: float = Field(0.1, gt=0, description="concentration over coarse classes")
    beta: float = Field(10.0, gt=0, description="concentration over the fine classes below a coarse one")

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        """See Partitioner."""
        labels = self.classes_of(samples)
        if samples.coarse is None:
            raise InputError(
                f"data.partition.name: {self.name!r} needs coarse labels, which the data has not (CIFAR-100 has);"
                " allowed: any other, such as dirichlet"
            )
        self.check_enough(samples.count)
        coarse = np.unique(samples.coarse, return_inverse=True)[1]
        fine_names, fine = np.unique(labels, return_inverse=True)
        leaves, leaf = np.unique(coarse * len(fine_names) + fine, return_inverse=True)  # sorted by coarse class
        below = np.split(np.arange(len(leaves)), np.flatnonzero(np.diff(leaves // len(fine_names))) + 1)
        return dealt_in_turn(leaf, self.clients, lambda size, left: self._taken(size, left, below, random), random)

    def _taken(self, size: int, left: np.ndarray, below: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
        """How many of each leaf (leaves,) a client takes of what is left; ``below[c]`` are the leaves of coarse class c."""
        taken = np.zeros_like(left)
        stock = np.array([left[leaves].sum() for leaves in below])
        for leaves, count in zip(below, drawn(size, np.full(len(below), self.alpha), stock, random), strict=True):
            if count:
                taken[leaves] = drawn(int(count), np.full(len(leaves), self.beta), left[leaves], random)
        return taken
