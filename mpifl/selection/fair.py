"""Fairness-constrained selection: everyone takes part in a guaranteed share of the rounds."""

from __future__ import annotations

import heapq
import math

import numpy as np
from pydantic import Field

from mpifl.clock.workload import Workload
from mpifl.population.population import Population
from mpifl.selection.context import SelectionContext
from mpifl.selection.feedback import Feedback, State
from mpifl.selection.pool import FromPool
from mpifl.selection.table import latest, looked_up, updated


class Fair(FromPool):
    """A selection rule: RBCS-F (Huang et al., arXiv 2011.01783), fast rounds under a fair share.

    Every client has a queue, Z <- max(0, Z + floor - x) after each round, where x is 1 if it was
    asked in the round. A queue that stays bounded means that its client is asked in the share
    ``floor`` of the rounds. The clients S that minimise

        second_cost x (longest duration in S) - (sum of the queues of S)

    are asked; the minimum over all sets of candidates is found exactly. With ``second_cost`` 0 they
    are those of the longest queues, ties in random order.

    The paper learns durations with a contextual bandit; here the clock says them. A ``floor`` above
    participants / clients cannot be kept: then the longest queues decide alone.
    """

    name: str = "fair"
    floor: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of the rounds in which each client is to be asked; default: half of"
        " participants / clients",
    )
    second_cost: float = Field(
        0.0, ge=0, description="how much of a queue a second of a round is worth"
    )

    def start(self, population: Population, workload: Workload) -> State:
        return {
            "client": np.empty(0, np.int64),
            "queue": np.empty(0),
            "last_round": np.empty(0, np.int64),
        }

    def choose(self, c: SelectionContext) -> np.ndarray:
        clients = self.drawn_pool(c)
        queue = self._queue(c.state, clients, c.population, c.round - 1)
        if len(clients) <= c.wanted:
            return clients
        if self.second_cost == 0:
            return clients[np.argsort(-queue, kind="stable")[: c.wanted]]
        cost = self.second_cost * c.seconds(clients)
        return clients[cheapest(cost, queue, c.wanted)]

    def learn(self, state: State, feedback: Feedback) -> State:
        clients = latest(feedback.participants)["client"]
        before = self._queue(state, clients, feedback.population, feedback.round - 1)
        after = before + self._floor(feedback.population) - 1
        rows = {
            "client": clients,
            "queue": np.maximum(after, 0.0),
            "last_round": np.full(len(clients), feedback.round),
        }
        return updated(state, rows)

    def _floor(self, population: Population) -> float:
        if self.floor is not None:
            return self.floor
        return (self.participants or 1) / (2 * population.clients)

    def _queue(
        self, state: State, clients: np.ndarray, population: Population, rounds: int
    ) -> np.ndarray:
        """Return the queue of each client (n,) after ``rounds`` rounds.

        The table has those that were asked, as they were after the round in which they were.
        """
        queue = looked_up(state, "queue", clients, 0.0)
        since = rounds - looked_up(state, "last_round", clients, 0.0)
        return queue + self._floor(population) * since


def cheapest(cost: np.ndarray, value: np.ndarray, wanted: int) -> np.ndarray:
    """Return the ``wanted`` places of the set with the least (highest cost) - (sum of values).

    In the order of their costs (n,), each set's best values are among those before its most
    expensive one. So the ``wanted`` highest values are followed along that order.
    """
    order = np.argsort(cost, kind="stable")
    highest: list[float] = []
    total = 0.0
    least = math.inf
    end = len(order)

    for place, index in enumerate(order.tolist()):
        heapq.heappush(highest, value[index])
        total += value[index]
        if len(highest) > wanted:
            total -= heapq.heappop(highest)
        if len(highest) == wanted and cost[index] - total < least:
            least = cost[index] - total
            end = place + 1

    among = order[:end]
    return among[np.argsort(-value[among], kind="stable")[:wanted]]
