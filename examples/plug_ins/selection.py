"""A selection rule of one's own: only clients with enough samples are asked."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.population.population import Population
from mpifl.selection.selection import Selection
from mpifl.selection.uniform import Uniform


class EnoughSamples(Selection):
    """Clients that are online and hold at least ``least`` samples, each with equal probability.

    FedScale has this as filter_less.
    """

    name: str = "enough_samples"
    least: int = Field(10, ge=1, description="samples that a client must hold")

    def choose(
        self, population: Population, now: float, wanted: int, seed: int, draw: int
    ) -> np.ndarray:
        """Return at most ``wanted`` clients, int64.

        Draws from those online, and draws more until enough of them hold enough. A draw with a
        larger number begins with the same clients, so the result does not depend on how often it
        was repeated.
        """
        asked = wanted
        while True:
            online = Uniform().choose(population, now, asked, seed, draw)
            suitable = online[population.samples(online) >= self.least]
            if len(suitable) >= wanted or len(online) < asked:
                return suitable[:wanted]
            asked *= 2
