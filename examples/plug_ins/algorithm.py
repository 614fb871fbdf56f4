"""An algorithm of one's own: FedAvg with clipped updates and momentum on the server."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.requests import Train, Trained
from mpifl.models.layout import Layout


class ClippedMomentum(Algorithm):
    """FedAvgM (Hsu et al., arXiv 1909.06335): v = beta v + mean update; model = model + lr v."""

    name: str = "clipped_momentum"
    lr: float = Field(0.5, gt=0, description="learning rate of the server")
    beta: float = Field(0.5, ge=0, lt=1, description="momentum of the server")
    norm: float = Field(1.0, gt=0, description="largest Euclidean norm of a client's update")

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        """Return the state before the first round: the model, and a velocity of 0."""
        return {"model": model, "velocity": np.zeros_like(model)}

    def client(self, c: ClientContext) -> Program:
        """On the client: train, and upload the update, scaled down to the norm if it is longer."""
        trained: Trained = yield Train(c.received["model"])
        factor = min(1.0, self.norm / float(trained.update.norm()))
        return Upload(update=trained.update * factor)

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        """On the server: return the next state from the weighted mean of the updates."""
        velocity = self.beta * s.state["velocity"] + mean["update"]
        return {"model": s.state["model"] + self.lr * velocity, "velocity": velocity}
