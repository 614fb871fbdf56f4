"""FedAsync: each update mixes its model into the global one."""

from __future__ import annotations

from typing import ClassVar

from mpifl.algorithms.algorithm import Algorithm, elementwise
from mpifl.algorithms.arrays import MODEL, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.requests import Train, Trained


class FedAsync(Algorithm):
    """Xie et al., arXiv 1903.03934, algorithm 1: w = (1 - a) w + a w_client.

    a is the weight of the update: ``clock.mixing`` times the factor of its staleness. A round of
    several updates mixes their weighted mean in the same way. With a clock whose rounds begin
    together a is 1, and the model becomes the mean of the clients' models.
    """

    uploaded = {"weights": MODEL}
    uploads_model: ClassVar[bool] = True

    name: str = "fedasync"

    def client(self, c: ClientContext) -> Program:
        trained: Trained = yield Train(c.received["model"])
        return Upload(weights=trained.weights)

    @elementwise
    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        return {"model": (1 - s.weight) * s.state["model"] + mean["weights"]}
