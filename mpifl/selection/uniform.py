"""Every client that is online is as likely as any other."""

from __future__ import annotations

import numpy as np

from mpifl.clock.online import NOBODY, online_index
from mpifl.population.population import Population
from mpifl.seeds import Purpose, number
from mpifl.selection.selection import Selection


class Uniform(Selection):
    """Every client that is online has the same probability. Draws at random, without a scan of the population."""

    name: str = "uniform"

    def choose(self, population: Population, now: float, wanted: int, seed: int, draw: int) -> np.ndarray:
        """See Selection."""
        return self.choose_free(population, now, wanted, seed, draw, NOBODY)

    def choose_free(
        self, population: Population, now: float, wanted: int, seed: int, draw: int, busy: np.ndarray
    ) -> np.ndarray:
        """See Selection."""
        return online_index(population).draw(number(seed, Purpose.SELECTION, draw), now, wanted, busy)
