"""Every client that is online is as likely as any other."""

from __future__ import annotations

import numpy as np

from mpifl.clock.availability import draw_online
from mpifl.population.population import Population
from mpifl.seeds import Purpose, number
from mpifl.selection.selection import Selection


class Uniform(Selection):
    """Draws clients at random and keeps those online until there are enough: no scan of the population."""

    name: str = "uniform"

    def choose(self, population: Population, now: float, wanted: int, seed: int, draw: int) -> np.ndarray:
        """See Selection."""
        key = number(seed, Purpose.SELECTION, draw)
        return draw_online(population.phones, population.clients, key, now, wanted)
