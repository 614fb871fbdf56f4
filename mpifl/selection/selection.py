"""What a selection rule is."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.job.section import Section
from mpifl.population.population import Population


class Selection(Section):
    """Base of the selection rules."""

    name: str
    participants: int | None = Field(None, ge=1, description="updates that a round waits for")

    def choose(self, population: Population, now: float, wanted: int, seed: int, draw: int) -> np.ndarray:
        """At most ``wanted`` clients (int64, no repeats) that are online at virtual second ``now``, in the order asked.

        One ``draw`` (a number from 1; of a round, or of a place that became free) always gives the same clients in the same
        order, more of them when more are wanted. Every answer is checked (``checked``), but for its order.
        """
        raise NotImplementedError
