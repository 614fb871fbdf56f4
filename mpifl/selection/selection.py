"""The base class of the selection rules: which clients are asked."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.job.section import Section
from mpifl.population.population import Population
from mpifl.selection.checked import checked

SPARE = 4  # clients asked for beyond those wanted, because some may be busy


class Selection(Section):
    """Base of the selection rules (``selection.name``).

    A rule has to have ``choose``. Asynchronous clocks call ``choose_free``, which calls it.

    Every answer is checked, apart from its order (``checked``): a wrong one is a TrainingError.
    """

    name: str
    participants: int | None = Field(
        None, ge=1, description="N: the number of updates that a round waits for"
    )

    def choose(
        self, population: Population, now: float, wanted: int, seed: int, draw: int
    ) -> np.ndarray:
        """Return clients that are online, in the order in which they are asked.

        The same arguments always have to give the same clients in the same order, and more of them
        when more are wanted.

        Args:
            population: All clients.
            now: The virtual second.
            wanted: The most clients to return.
            seed: The seed of the job.
            draw: The number of this draw, from 1: one for each round, or for each place that became
                free. Use it as a key of the rule's generator.

        Returns:
            At most ``wanted`` clients, int64 (n,), without repeats, all of them online at ``now``.
        """
        raise NotImplementedError

    def choose_free(
        self,
        population: Population,
        now: float,
        wanted: int,
        seed: int,
        draw: int,
        busy: np.ndarray,
    ) -> np.ndarray:
        """Return clients as ``choose`` does, leaving out those in ``busy``.

        This implementation asks ``choose`` for more and more clients until enough of them are free.
        A rule may do better.

        Args:
            population: All clients.
            now: The virtual second.
            wanted: The most clients to return.
            seed: The seed of the job.
            draw: The number of this draw, from 1.
            busy: Clients that are under way or have counted in this round, int64, sorted.

        Returns:
            At most ``wanted`` clients, int64 (n,), without repeats, online and not in ``busy``.

        Raises:
            TrainingError: The clients that ``choose`` returned are wrong.
        """
        asked = wanted + SPARE if len(busy) else wanted
        while True:
            # Checked here too: a rule that repeats one client would be asked for more forever.
            chosen = self.choose(population, now, asked, seed, draw)
            drawn = checked(self.name, chosen, population, now, asked)
            if not len(busy):
                return drawn

            place = np.minimum(np.searchsorted(busy, drawn), len(busy) - 1)
            free = drawn[busy[place] != drawn]
            if len(free) >= wanted or len(drawn) < asked:
                return free[:wanted]
            asked *= 2
