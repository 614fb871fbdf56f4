"""Power-of-choice: of some candidates, those with the highest loss."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.selection.context import SelectionContext
from mpifl.selection.draw import drawn_by_weight
from mpifl.selection.selection import Selection

LOOKED_AT = 10
"""Clients drawn uniformly for each candidate, from whom candidates are drawn by their samples."""


class PowerOfChoice(Selection):
    """A selection rule: draw candidates by their samples, ask those with the highest loss.

    It is pi_pow-d of Cho et al. (arXiv 2010.01243, section 3.1). ``candidates_drawn`` times as many
    candidates as are wanted are drawn without repeats, with probabilities proportional to their
    samples. Each downloads the model, goes through its samples once, and tells its mean loss; those
    with the highest losses take part. They need not download the model again.

    Candidates are drawn from ten times as many clients, drawn uniformly from those online: exact
    where no more are online. Where no candidate answers, or none is online any more, clients are
    drawn uniformly.
    """

    losses = "mean"

    name: str = "power_of_choice"
    candidates_drawn: float = Field(
        2.0, ge=1, le=1e6, description="d / m: candidates probed for each client asked"
    )

    @property
    def probes(self) -> bool:
        return True

    def candidates(self, c: SelectionContext) -> np.ndarray:
        wanted = round(self.candidates_drawn * c.wanted)
        clients = c.uniform(LOOKED_AT * wanted)
        samples = c.population.samples(clients).astype(np.float64)
        return drawn_by_weight(clients, samples, min(wanted, len(clients)), c.random())

    def choose(self, c: SelectionContext) -> np.ndarray:
        there = c.probed[c.may_ask(np.ascontiguousarray(c.probed["client"]))]
        if not len(there):
            return c.uniform(c.wanted)
        loss = np.nan_to_num(there["loss"], nan=np.inf)
        highest: np.ndarray = there["client"][np.lexsort((there["client"], -loss))]
        return highest[: c.wanted]
