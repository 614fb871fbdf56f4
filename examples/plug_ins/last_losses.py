"""A selection rule of one's own that learns: of some candidates, those with the highest loss."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.clock.timeline import Outcome
from mpifl.clock.workload import Workload
from mpifl.population.population import Population
from mpifl.selection.context import SelectionContext
from mpifl.selection.draw import drawn_by_weight
from mpifl.selection.feedback import Feedback, State
from mpifl.selection.selection import Selection
from mpifl.selection.table import looked_up, updated


class LastLosses(Selection):
    """Power-of-choice without probes: rpow-d of Cho et al., arXiv 2010.01243, section 3.1.

    Candidates are drawn in proportion to their samples. Those with the highest loss in their last
    training are asked. A client without a loss comes before all others.
    """

    losses = "mean"

    name: str = "last_losses"
    candidates_for_each: int = Field(3, ge=1, description="candidates for each client asked")

    def start(self, population: Population, workload: Workload) -> State:
        """Return the state before the first round: an empty table of clients."""
        return {"client": np.empty(0, np.int64), "loss": np.empty(0)}

    def choose(self, c: SelectionContext) -> np.ndarray:
        """Return at most ``c.wanted`` clients, int64."""
        # Candidates are drawn from ten times as many: no rule may look at the whole population.
        count = self.candidates_for_each * c.wanted
        online = c.uniform(10 * count)
        samples = c.population.samples(online).astype(float)
        candidates = drawn_by_weight(online, samples, min(count, len(online)), c.random())

        loss = looked_up(c.state, "loss", candidates, np.inf)
        return candidates[np.argsort(-loss, kind="stable")[: c.wanted]]

    def learn(self, state: State, feedback: Feedback) -> State:
        """Return the state after a round: the table with the losses of those who completed it."""
        ended = feedback.participants
        completed = ended[ended["outcome"] == Outcome.COMPLETED]
        return updated(state, {"client": completed["client"], "loss": completed["loss"]})
