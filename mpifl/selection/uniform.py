"""Uniform selection: every client that is online is equally likely."""

from __future__ import annotations

import numpy as np

from mpifl.clock.online import NOBODY, online_index
from mpifl.population.population import Population
from mpifl.seeds import Purpose, number
from mpifl.selection.selection import Selection


class Uniform(Selection):
    """A selection rule: draw clients at random, and keep those that are online.

    It stops when there are enough, and never scans the population.
    """

    name: str = "uniform"

    def choose(
        self, population: Population, now: float, wanted: int, seed: int, draw: int
    ) -> np.ndarray:
        return self.choose_free(population, now, wanted, seed, draw, NOBODY)

    def choose_free(
        self,
        population: Population,
        now: float,
        wanted: int,
        seed: int,
        draw: int,
        busy: np.ndarray,
    ) -> np.ndarray:
        key = number(seed, Purpose.SELECTION, draw)
        return online_index(population).draw(key, now, wanted, busy)
