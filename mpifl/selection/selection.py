"""What a selection rule is."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.job.section import Section
from mpifl.population.population import Population
from mpifl.selection.checked import checked

SPARE = 4  # clients asked for beyond those wanted, because some may be busy


class Selection(Section):
    """Base of the selection rules. A rule has to have ``choose``; asynchronous clocks call ``choose_free``, which calls it."""

    name: str
    participants: int | None = Field(None, ge=1, description="N: the number of updates that a round waits for")

    def choose(self, population: Population, now: float, wanted: int, seed: int, draw: int) -> np.ndarray:
        """At most ``wanted`` clients (int64, no repeats) that are online at virtual second ``now``, in the order asked.

        One ``draw`` (a number from 1; of a round, or of a place that became free) always gives the same clients in the same
        order, more of them when more are wanted. Every answer is checked (``checked``), but for its order.
        """
        raise NotImplementedError

    def choose_free(
        self, population: Population, now: float, wanted: int, seed: int, draw: int, busy: np.ndarray
    ) -> np.ndarray:
        """As ``choose``, of the clients that are not in ``busy`` (int64, sorted): those under way, or who counted already.

        This asks ``choose`` for more and more until enough of them are free. A rule may do better.
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
