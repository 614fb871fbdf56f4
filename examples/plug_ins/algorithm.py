"""An algorithm of one's own: FedAvg with clipped updates and momentum on the server."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm, ClientContext, State


class ClippedMomentum(Algorithm):
    """FedAvgM (Hsu et al., arXiv 1909.06335): v = beta v + mean update; model = model + lr v."""

    name: str = "clipped_momentum"
    lr: float = Field(0.5, gt=0, description="learning rate of the server")
    beta: float = Field(0.5, ge=0, lt=1, description="momentum of the server")
    norm: float = Field(1.0, gt=0, description="largest Euclidean norm of a client's update")

    def start(self, model: np.ndarray) -> State:
        """Return the state before the first round: the model, and a velocity of 0."""
        return {"model": model, "velocity": np.zeros_like(model)}

    def contribute(
        self, update: torch.Tensor, context: ClientContext
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """On the client: return its update, scaled down to the norm where it is longer."""
        factor = min(1.0, self.norm / float(update.norm()))
        return {"update": update * factor}, None

    def step(self, state: State, mean: State, participants: int, clients: int) -> State:
        """On the server: return the next state from the weighted mean of the updates."""
        velocity = self.beta * state["velocity"] + mean["update"]
        model = state["model"] + self.lr * velocity
        return {"model": model.astype(np.float32), "velocity": velocity.astype(np.float32)}
