"""FedNova: normalised averaging, for clients that make unequal local work."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm, elementwise
from mpifl.algorithms.arrays import MODEL, SCALAR, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.requirements import needs_means_of_the_same, needs_no_clipping, needs_one_base
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.optimizers.adjust import proximal
from mpifl.optimizers.sgd import Sgd


class FedNova(Algorithm):
    """Wang et al., arXiv 2007.07481, section 4.

    The update of client i is -lr G_i a_i: its gradients, each times its entry of a_i. With its
    share p_i of the samples, d_i = update / |a_i| (the L1 norm) and tau_eff = sum p_i |a_i|:
    w = w + tau_eff sum p_i d_i. (With a proximal term the authors' code takes the mean number of
    steps for tau_eff.)

    a_i follows from ``training.optimizer`` (sgd, with momentum or not), ``training.lr_decay`` and
    mu, see ``norm_of_a``. For plain SGD |a_i| is the number of steps. p_i is the share of all the
    samples that a client has, also where a clock cuts its work short.
    """

    uploaded = {"update": MODEL, "norm": SCALAR}
    weighs_work: ClassVar[bool] = False

    name: str = "fednova"
    mu: float = Field(0.0, ge=0, description="weight of a proximal term, as in fedprox; 0: none")

    def check(self, job: Job) -> None:
        needs_one_base(self, job)
        needs_means_of_the_same(self, job)
        optimizer = job.training.optimizer
        if not isinstance(optimizer, Sgd) or optimizer.dampening or optimizer.keep:
            raise InputError(
                f"training.optimizer: {optimizer.name!r} with these options is not allowed:"
                f" {self.name} knows the steps of sgd without dampening and keep only"
            )
        if self.mu:
            needs_no_clipping(self, job, f"mu {self.mu:g}")

    def client(self, c: ClientContext) -> Program:
        model = c.received["model"]
        adjust = proximal(model, self.mu) if self.mu else None
        trained: Trained = yield Train(model, adjust=adjust)

        optimizer = c.training.optimizer
        assert isinstance(optimizer, Sgd)
        norm = norm_of_a(trained.steps, optimizer, self.mu * c.lr, c.training.lr_decay)
        return Upload(update=trained.update / norm, norm=norm)

    @elementwise
    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        return {"model": s.state["model"] + mean["norm"] * mean["update"]}


def norm_of_a(steps: int, optimizer: Sgd, pull: float, decay: float) -> float:
    """Return |a|: how far local steps go, in units of lr, where every gradient is 1.

    With momentum rho that is (steps - rho (1 - rho^steps) / (1 - rho)) / (1 - rho), with a
    proximal term (1 - (1 - pull)^steps) / pull. A weight decay belongs to the gradient.

    Args:
        steps: The local steps.
        optimizer: Without dampening.
        pull: The weight of the proximal term, times lr.
        decay: The factor on lr from one step to the next.
    """
    moved = 0.0
    velocity = 0.0
    lr = 1.0
    for _ in range(steps):
        gradient = 1.0 - pull * moved
        velocity = optimizer.momentum * velocity + gradient
        step = gradient + optimizer.momentum * velocity if optimizer.nesterov else velocity
        moved += lr * step
        lr *= decay
    return moved
