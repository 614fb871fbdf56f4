"""FedSGD: one step a round, along the mean of the clients' gradients."""

from __future__ import annotations

from typing import ClassVar

from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Differentiated, Gradient
from mpifl.algorithms.requirements import needs_no_steps
from mpifl.clock.cost import Cost
from mpifl.job import Job
from mpifl.models.layout import Layout


class FedSgd(FedAvg):
    """McMahan et al., arXiv 1602.05629, section 2: FedSGD.

    With the gradient g_k of the loss over all n_k samples of client k: w = w - server_lr lr
    sum n_k/n g_k. lr is ``training.lr`` with its schedule. ``training.epochs``, ``local_steps`` and
    ``batch_size`` do nothing: a client computes one gradient, and the clock charges that.
    """

    weighs_work: ClassVar[bool] = False

    name: str = "fedsgd"

    def check(self, job: Job) -> None:
        needs_no_steps(self, job)

    def cost(self, layout: Layout) -> Cost:
        return Cost(training=0, gradients=1)

    def client(self, c: ClientContext) -> Program:
        at_model: Differentiated = yield Gradient(c.received["model"])
        return Upload(update=-c.lr * at_model.gradient, averages=at_model.averages)
