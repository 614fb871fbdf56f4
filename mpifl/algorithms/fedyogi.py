"""FedYogi: an adaptive optimizer on the server."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import Arrays
from mpifl.algorithms.context import ServerContext
from mpifl.models.layout import Layout


class FedYogi(Algorithm):
    """Reddi et al., arXiv 2003.00295, algorithm 2: Yogi, with the mean update as gradient.

    With the mean update d: m = beta_1 m + (1 - beta_1) d; v = v - (1 - beta_2) d^2 sign(v - d^2);
    w = w + server_lr m / (sqrt(v) + tau). There is no bias correction; v starts at tau^2.
    """

    name: str = "fedyogi"
    server_lr: float = Field(0.01, gt=0, description="the paper's eta")
    beta_1: float = Field(0.9, ge=0, lt=1, description="decay of the mean m")
    beta_2: float = Field(0.99, ge=0, lt=1, description="decay of the mean square v")
    tau: float = Field(1e-3, gt=0, description="degree of adaptivity")

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        return {"model": model, "m": np.zeros_like(model), "v": np.full_like(model, self.tau**2)}

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        delta = mean["update"]
        squared = delta * delta
        v = s.state["v"]
        m = self.beta_1 * s.state["m"] + (1 - self.beta_1) * delta
        v = v - (1 - self.beta_2) * squared * np.sign(v - squared)
        model = s.state["model"] + self.server_lr * m / (np.sqrt(v) + self.tau)
        return {"model": model, "m": m, "v": v}
