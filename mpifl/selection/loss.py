"""Selection by loss: clients whose data the model fits worst."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mpifl.clock.workload import Workload
from mpifl.population.population import Population
from mpifl.selection.context import SelectionContext
from mpifl.selection.draw import drawn_by_weight
from mpifl.selection.feedback import Feedback, State
from mpifl.selection.pool import FromPool
from mpifl.selection.table import looked_up, updated


class Loss(FromPool):
    """A selection rule: the clients of the highest value, samples^exponent x last training loss.

    The loss is that of the last round that the client completed: the model has changed since.
    Clients without one come first, in random order.

    With ``temperature`` above 0 clients are drawn without repeats, with probabilities proportional
    to exp(value / temperature). Active federated learning (Goetz et al., arXiv 1909.12641,
    algorithm 1) is ``exponent: 0.5, temperature: 100, left_out: 0.75, uniform: 0.1``: its alpha_2
    is 1 / temperature, alpha_1 ``left_out``, alpha_3 ``uniform``; ``unknown: mean`` goes with it.
    """

    losses: ClassVar[Literal["none", "mean", "squared"]] = "mean"

    name: str = "loss"
    exponent: float = Field(0.0, ge=0, le=100, description="of the samples in the value")
    temperature: float = Field(
        0.0, ge=0, description="of the softmax of the values; 0: the highest are taken"
    )
    unknown: Literal["first", "mean"] = Field(
        "first", description="clients without a loss come first, or have the mean of those known"
    )
    left_out: float = Field(
        0.0, ge=0, lt=1, description="share of the pool, of the lowest value, left out"
    )
    uniform: float = Field(0.0, ge=0, le=1, description="share of the clients drawn uniformly")

    def start(self, population: Population, workload: Workload) -> State:
        return {"client": np.empty(0, np.int64), "loss": np.empty(0)}

    def choose(self, c: SelectionContext) -> np.ndarray:
        clients = self.drawn_pool(c)
        value = self._value(c, clients)
        by_chance = int(c.wanted * self.uniform + c.random(0).random())
        wanted = min(c.wanted - by_chance, len(clients))

        left = len(clients) - int(self.left_out * len(clients))
        best = np.argsort(-value, kind="stable")[: max(wanted, left)]
        by_value = self._by_value(c, clients[best], value[best], wanted)
        others = clients[~np.isin(clients, by_value)]
        return np.concatenate([by_value, others[: c.wanted - wanted]])

    def learn(self, state: State, feedback: Feedback) -> State:
        ended = feedback.participants
        measured = ended[~np.isnan(ended["loss"])]
        return updated(state, {"client": measured["client"], "loss": measured["loss"]})

    def _value(self, c: SelectionContext, clients: np.ndarray) -> np.ndarray:
        """Return the value of each client (n,); infinity where it comes before all others."""
        unknown = np.inf
        if self.unknown == "mean" and len(c.state["loss"]):
            unknown = float(c.state["loss"].mean())
        loss = looked_up(c.state, "loss", clients, unknown)
        return loss * np.maximum(c.population.samples(clients), 1) ** self.exponent

    def _by_value(
        self, c: SelectionContext, clients: np.ndarray, value: np.ndarray, wanted: int
    ) -> np.ndarray:
        """Return ``wanted`` clients by their values (n,), which fall."""
        first = min(wanted, int(np.count_nonzero(np.isinf(value))))
        if not self.temperature or first == wanted:
            return clients[:wanted]
        weight = np.exp((value[first:] - value[first]) / self.temperature)
        drawn = drawn_by_weight(clients[first:], weight, wanted - first, c.random(1))
        return np.concatenate([clients[:first], drawn])
