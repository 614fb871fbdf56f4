"""A selection rule of one's own: only clients with enough samples are asked."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.selection.context import SelectionContext
from mpifl.selection.selection import Selection


class EnoughSamples(Selection):
    """Clients that are online and hold at least ``least`` samples, each with equal probability.

    FedScale has this as filter_less.
    """

    name: str = "enough_samples"
    least: int = Field(10, ge=1, description="samples that a client must hold")

    def choose(self, c: SelectionContext) -> np.ndarray:
        """Return at most ``c.wanted`` clients, int64.

        Draws from those online, and draws more until enough of them hold enough. A draw of more
        clients begins with the same ones, so the result does not depend on how often it was
        repeated.
        """
        drawn = c.wanted
        while True:
            online = c.uniform(drawn)
            suitable = online[c.population.samples(online) >= self.least]
            if len(suitable) >= c.wanted or len(online) < drawn:
                return suitable[: c.wanted]
            drawn *= 2
