"""AFL: the model that is best for the worst mixture of the clients."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import MODEL, SCALAR, Array, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.requests import Evaluate, Evaluated, Train, Trained
from mpifl.algorithms.requirements import (
    needs_one_base,
    needs_open_updates,
    needs_small_population,
    needs_sums,
)
from mpifl.clock.cost import Cost
from mpifl.job import Job
from mpifl.models.layout import Layout
from mpifl.population.population import Population


class Afl(Algorithm):
    """Mohri et al., arXiv 1902.00146, algorithm STOCHASTIC-AFL; each client is a domain.

    The server keeps mixture weights lambda, at first all the same. A participant k uploads its
    update u_k, made from the model w, and the loss L_k of w on its samples. Server:
    w = w + sum lambda_k u_k / sum lambda_k; lambda = the nearest point of the simplex to lambda +
    gamma_lambda L, where L is 0 for clients that did not take part.

    With everybody in each round, ``training.local_steps: 1`` and full batches these are the paper's
    steps; it gives the mean of the models of all rounds, here the last one is kept.
    """

    uploaded = {"update": MODEL, "weight": SCALAR}
    weighs_samples = False

    name: str = "afl"
    gamma_lambda: float = Field(
        0.1,
        ge=0,
        description="step of the mixture weights; 0: they stay equal (the paper tunes it)",
    )
    clients: int | None = Field(
        None, ge=1, description="how many clients there are; default: those of the population"
    )

    def check(self, job: Job) -> None:
        needs_one_base(self, job)
        needs_open_updates(self, job)
        needs_sums(self, job)

    def settled(self, population: Population) -> Afl:
        needs_small_population(self, population)
        return self.model_copy(update={"clients": population.clients})

    def received_arrays(self, layout: Layout) -> dict[str, Array]:
        return {"model": MODEL, "mixture": Array((self.clients or 1,))}

    def uploaded_arrays(self, layout: Layout) -> dict[str, Array]:
        return {**self.uploaded, "losses": Array((self.clients or 1,))}

    def transfers(self, layout: Layout) -> tuple[dict[str, Array], dict[str, Array]]:
        return {"model": MODEL}, {"update": MODEL, "loss": SCALAR}

    def cost(self, layout: Layout) -> Cost:
        return Cost(evaluations=1)

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        clients = self.clients or 1
        return {"model": model, "mixture": np.full(clients, 1 / clients, np.float32)}

    def client(self, c: ClientContext) -> Program:
        model = c.received["model"]
        mixture = c.received["mixture"]
        trained: Trained = yield Train(model)
        tested: Evaluated = yield Evaluate(model)

        weight = float(mixture[c.client]) * len(mixture)
        losses = mixture.new_zeros(len(mixture))
        losses[c.client] = tested.loss
        return Upload(update=weight * trained.update, weight=weight, losses=losses)

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        # Clients count the same in the means: a sum is the mean times the participants.
        losses = mean["losses"] * s.participants
        mixture = nearest_mixture(s.state["mixture"] + self.gamma_lambda * losses)
        model = s.state["model"]
        if mean["weight"] > 0:
            model = model + mean["update"] / mean["weight"]
        return {"model": model, "mixture": mixture}


def nearest_mixture(point: np.ndarray) -> np.ndarray:
    """Return the nearest point with no number below 0 and a sum of 1 (Duchi et al., ICML 2008)."""
    falling = np.sort(point.astype(np.float64))[::-1]
    above = np.cumsum(falling) - 1.0
    count = np.arange(1, len(point) + 1)
    last = np.flatnonzero(falling * count > above)[-1]
    nearest: np.ndarray = np.maximum(point - above[last] / (last + 1), 0.0)
    return nearest
