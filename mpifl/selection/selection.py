"""What a selection rule is."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.job.section import Section
from mpifl.population.population import Population
from mpifl.selection.checked import checked

SPARE = 4  # clients asked for beyond those wanted, because some may be busy


class Selection(Section):
    """Base of the selection rules: which of the clients that are online are asked.

    A rule defines ``choose``. Clocks call ``choose_free``, which leaves out clients in flight and calls ``choose`` by default.
    """

    name: str
    participants: int | None = Field(None, ge=1, description="N: the number of updates that a round waits for")

    def choose(self, population: Population, now: float, wanted: int, seed: int, draw: int) -> np.ndarray:
        """Return clients that are online, in the order in which they are asked.

        The same ``draw`` always gives the same clients in the same order, and more of them when more are wanted. Every answer
        is checked, except for its order.

        Args:
            population: The clients: how many, their samples, their devices.
            now: Virtual second.
            wanted: Number of clients to return at most.
            seed: Seed of the job.
            draw: Number of the draw, from 1: of a round, or of a place that became free.

        Returns:
            int64 clients without repeats, all of them online at ``now``.
        """
        raise NotImplementedError

    def choose_free(
        self, population: Population, now: float, wanted: int, seed: int, draw: int, busy: np.ndarray
    ) -> np.ndarray:
        """Return what ``choose`` returns, without the clients in ``busy``.

        The default asks ``choose`` for more and more clients until enough of them are free. A rule for large populations may
        do better.

        Args:
            population: As in ``choose``, like ``now``, ``wanted``, ``seed`` and ``draw``.
            now: Virtual second.
            wanted: Number of clients to return at most.
            seed: Seed of the job.
            draw: Number of the draw.
            busy: int64 clients, sorted, that are in flight or whose update has counted in this round.
        """
        asked = wanted + SPARE if len(busy) else wanted
        while True:
            # Here too: one client named again and again would be asked for more for ever.
            drawn = checked(self.name, self.choose(population, now, asked, seed, draw), population, now, asked)
            if not len(busy):
                return drawn
            place = np.minimum(np.searchsorted(busy, drawn), len(busy) - 1)
            free = drawn[busy[place] != drawn]
            if len(free) >= wanted or len(drawn) < asked:
                return free[:wanted]
            asked *= 2
