"""FedExP: federated averaging whose server step adapts to how much clients agree."""

from __future__ import annotations

from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import MODEL, SCALAR, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.requirements import needs_means_of_the_same, needs_one_base
from mpifl.job import Job


class FedExP(Algorithm):
    """Jhunjhunwala et al., arXiv 2301.09604, algorithm 1.

    With the updates d_i of M participants and their mean d: w = w + eta_g d, where
    eta_g = max(1, sum |d_i|^2 / (2 M (|d|^2 + eps))). Means are unweighted, as in the paper. The
    paper tests the mean of the last two models; here it is the last one.
    """

    uploaded = {"update": MODEL, "squared": SCALAR}
    weighs_samples = False

    name: str = "fedexp"
    eps: float = Field(
        1e-3,
        gt=0,
        description="the paper's epsilon (default: the authors' for CIFAR; 0.1 for EMNIST)",
    )

    def check(self, job: Job) -> None:
        needs_one_base(self, job)
        needs_means_of_the_same(self, job)

    def client(self, c: ClientContext) -> Program:
        trained: Trained = yield Train(c.received["model"])
        step = trained.update[: c.layout.trained]
        return Upload(update=trained.update, squared=float(step.double().square().sum()))

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        delta = mean["update"]
        ratio = mean["squared"] / (2 * (float(delta @ delta) + self.eps))
        return {"model": s.state["model"] + max(1.0, float(ratio)) * delta}
