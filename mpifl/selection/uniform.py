"""Uniform selection: every client that is online is equally likely."""

from __future__ import annotations

import numpy as np

from mpifl.selection.context import SelectionContext
from mpifl.selection.selection import Selection


class Uniform(Selection):
    """A selection rule: draw clients at random, and keep those that are online.

    It stops when there are enough, and never scans the population.
    """

    name: str = "uniform"

    def choose(self, c: SelectionContext) -> np.ndarray:
        return c.uniform(c.wanted)
