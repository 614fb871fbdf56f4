"""q-FedAvg: clients with a large loss count more."""

from __future__ import annotations

from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm, elementwise
from mpifl.algorithms.arrays import MODEL, SCALAR, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.requests import Evaluate, Evaluated, Train, Trained
from mpifl.algorithms.requirements import needs_means_of_the_same, needs_one_base
from mpifl.clock.cost import Cost
from mpifl.job import Job
from mpifl.models.layout import Layout

LEAST_LOSS = 1e-10
"""Added to losses, since q - 1 may be negative: as in the authors' code."""


class QFedAvg(Algorithm):
    """Li et al., arXiv 1905.10497 (q-FFL), algorithm 2.

    With the loss F of the received model w on a client's samples, its model w_k after training, and
    L = 1 / lr: Delta_k = F^q L (w - w_k); h_k = q F^(q-1) |L (w - w_k)|^2 + L F^q;
    w = w - sum Delta_k / sum h_k. Both are uploaded without their common factor L. Clients count
    the same; with q = 0 that is the unweighted mean of their models.
    """

    uploaded = {"update": MODEL, "h": SCALAR}
    weighs_samples = False

    name: str = "qfedavg"
    q: float = Field(
        1.0, ge=0, description="how much large losses count; the paper tunes it, from 0.001 to 15"
    )

    def check(self, job: Job) -> None:
        needs_one_base(self, job)
        needs_means_of_the_same(self, job)

    def cost(self, layout: Layout) -> Cost:
        return Cost(evaluations=1 if self.q else 0)

    def client(self, c: ClientContext) -> Program:
        model = c.received["model"]
        loss = 1.0
        if self.q:
            tested: Evaluated = yield Evaluate(model)
            loss = tested.loss + LEAST_LOSS
        trained: Trained = yield Train(model)

        step = trained.update[: c.layout.trained]
        squared = float(step.double().square().sum())
        factor = loss**self.q
        return Upload(
            update=factor * trained.update,
            h=factor + self.q * loss ** (self.q - 1) * squared / c.lr,
        )

    @elementwise
    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        return {"model": s.state["model"] + mean["update"] / mean["h"]}
