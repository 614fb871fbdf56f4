"""Rules that choose from a pool: clients that may be asked, drawn uniformly."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from mpifl.kernels.permutation import uniforms
from mpifl.seeds import Purpose, number
from mpifl.selection.context import SelectionContext
from mpifl.selection.selection import Selection

LEAST_POOL = 1000


class FromPool(Selection):
    """Base of the rules that look at a bounded number of clients, whatever the population.

    A draw has a pool of ``pool`` clients for each one wanted, and 1,000 at least. Where they are as
    many as the clients that may be asked, the rule sees all of these.
    """

    pool: float = Field(
        10.0,
        ge=1,
        le=1e6,
        description="clients that are looked at for each one wanted; at least 1,000 in all",
    )

    def drawn_pool(self, c: SelectionContext) -> np.ndarray:
        """Return the clients (n,) int64 to choose from, in random order."""
        return c.uniform(max(LEAST_POOL, math.ceil(self.pool * c.wanted)))


def coins(c: SelectionContext, clients: np.ndarray, key: int) -> np.ndarray:
    """Return a random number in [0, 1), float64, for each of ``clients`` (n,) int64.

    It depends on the draw, the client and ``key``, not on the other clients.
    """
    return uniforms(clients, number(c.seed, Purpose.SELECTION, c.draw, key))


def preferred(clients: np.ndarray, suitable: np.ndarray, wanted: int, fill: bool) -> np.ndarray:
    """Return the first ``wanted`` of ``clients`` (n,) that are suitable (n,) bool.

    With ``fill`` the first of the others follow where those are too few.
    """
    chosen = clients[suitable]
    if fill:
        chosen = np.concatenate([chosen, clients[~suitable]])
    return chosen[:wanted]
