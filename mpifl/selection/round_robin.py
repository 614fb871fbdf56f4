"""Round robin: everyone in turn."""

from __future__ import annotations

import numpy as np

from mpifl.clock.workload import Workload
from mpifl.population.population import Population
from mpifl.selection.context import SelectionContext
from mpifl.selection.feedback import Feedback, State
from mpifl.selection.pool import FromPool
from mpifl.selection.table import latest, looked_up, updated


class RoundRobin(FromPool):
    """A selection rule: the client that was not asked for longest comes first.

    Those never asked come before all others, on a tie the smaller number. So all have their turn by
    number, and who was offline at it comes first the next time that it is online. A turn is being
    asked, whether the client then completes or not.

    With fewer candidates than clients that may be asked, the order is that among the candidates.
    """

    name: str = "round_robin"

    def start(self, population: Population, workload: Workload) -> State:
        return {"client": np.empty(0, np.int64), "asked_seconds": np.empty(0)}

    def choose(self, c: SelectionContext) -> np.ndarray:
        clients = self.drawn_pool(c)
        last = looked_up(c.state, "asked_seconds", clients, -np.inf)
        return clients[np.lexsort((clients, last))[: c.wanted]]

    def learn(self, state: State, feedback: Feedback) -> State:
        ended = latest(feedback.participants)
        rows = {"client": ended["client"], "asked_seconds": ended["start_seconds"]}
        return updated(state, rows)
