"""Selection by samples: clients with more of them are more likely."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.selection.context import SelectionContext
from mpifl.selection.draw import drawn_by_weight
from mpifl.selection.pool import FromPool


class Weighted(FromPool):
    """A selection rule: draw clients without repeats, in proportion to samples^exponent.

    One after the other is drawn from the pool, each with a probability proportional to its samples
    among those that are left. Exponent 0 is uniform. Li et al. (arXiv 1812.06127) draw so, and
    weigh all updates alike; an algorithm that weighs by samples, as FedAvg, counts them twice.

    Where more clients than the pool may be asked, the largest ones are drawn less often than that:
    with ``pool`` 10 a client has at most 10 times the chance of uniform selection.
    """

    name: str = "weighted"
    exponent: float = Field(
        1.0, ge=0, le=10, description="of the samples in the probability; 0: uniform"
    )

    def choose(self, c: SelectionContext) -> np.ndarray:
        clients = self.drawn_pool(c)
        samples = np.maximum(c.population.samples(clients), 1.0)
        wanted = min(c.wanted, len(clients))
        return drawn_by_weight(clients, samples**self.exponent, wanted, c.random())
