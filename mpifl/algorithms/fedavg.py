"""Federated averaging."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm, State


class FedAvg(Algorithm):
    """McMahan et al., arXiv 1602.05629: add the mean update, weighted by samples, to the model."""

    name: str = "fedavg"
    server_lr: float = Field(
        1.0, gt=0, description="factor on the mean update; 1 is plain averaging"
    )

    def step(self, state: State, mean: State, participants: int, clients: int) -> State:
        model = state["model"] + self.server_lr * mean["update"]
        return {**state, "model": model.astype(np.float32)}
