"""Federated averaging."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm, State


class FedAvg(Algorithm):
    """McMahan et al., arXiv 1602.05629: the model moves by the mean update, weighted by samples."""

    name: str = "fedavg"
    server_lr: float = Field(1.0, gt=0, description="factor on the mean update; 1 is plain averaging")

    def step(self, state: State, mean: State, participants: int, clients: int) -> State:
        """See Algorithm."""
        return {**state, "model": (state["model"] + self.server_lr * mean["update"]).astype(np.float32)}
