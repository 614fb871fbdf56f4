"""APFL: each client mixes a model of its own with the global one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm, elementwise
from mpifl.algorithms.arrays import MODEL, SCALAR, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.requirements import needs_bare_steps
from mpifl.algorithms.vectors import gradient_at, vector_of
from mpifl.clock.cost import Cost
from mpifl.job import Job
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch
    from torch import nn


class Apfl(Algorithm):
    """Deng et al., arXiv 2003.13461, algorithm 1.

    Each local step takes one minibatch for both models: w = w - lr grad f(w), and
    v = v - lr alpha grad f(v_mix), where v_mix = alpha v + (1 - alpha) w from before the step.
    With ``adaptive`` the first step of each round also moves
    alpha = alpha - lr <v - w, grad f(v_mix)>, held between 0 and 1. v begins at the first w
    received, and stays with the client like alpha. Server: the unweighted mean of w, as in the
    paper.

    The personal model is alpha v + (1 - alpha) w with the newest global w; its batch norm
    statistics are those of v_mix.
    """

    kept = {"v": MODEL, "alpha": SCALAR}
    weighs_samples = False

    name: str = "apfl"
    alpha: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the client's own model (the paper tries 0.25, 0.5 and 0.75); its"
        " first value where it is adaptive",
    )
    adaptive: bool = Field(False, description="whether each client adapts its alpha")

    def check(self, job: Job) -> None:
        needs_bare_steps(self, job)

    def cost(self, layout: Layout) -> Cost:
        return Cost(training=2)

    def client(self, c: ClientContext) -> Program:
        model = c.received["model"]
        v = c.kept.get("v", model).clone()
        alpha = float(c.kept.get("alpha", self.alpha))
        mixture = _Mixture(c, v, alpha, adapts=self.adaptive)
        trained: Trained = yield Train(model, loss=mixture, cost=2)
        return Upload(
            update=trained.update,
            keep={"v": mixture.v, "alpha": v.new_tensor(mixture.alpha)},
        )

    def personal(self, c: ClientContext) -> torch.Tensor:
        model = c.received["model"]
        if not c.kept:
            return model
        return _mixed(c.layout, c.kept["v"], model, float(c.kept["alpha"]))

    @elementwise
    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        return {"model": s.state["model"] + mean["update"]}


@dataclass
class _Mixture:
    """The objective's loss of w, which also makes the step of v on the same minibatch.

    Attributes:
        c: The participant.
        v: The client's own model (size,), changed in place.
        alpha: Its share of the mixture.
        adapts: Whether the next step also moves alpha.
    """

    takes_mixtures: ClassVar[bool] = True

    c: ClientContext
    v: torch.Tensor
    alpha: float
    adapts: bool

    def __call__(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        c = self.c
        w = vector_of(module, c.layout, self.v)
        mixed = _mixed(c.layout, self.v, w, self.alpha)
        gradient, _ = gradient_at(module, c.layout, mixed, c.loss, x, y)

        slope = float((self.v - w) @ gradient) if self.adapts else 0.0
        self.v -= c.lr * self.alpha * gradient
        self.v[c.layout.averages] = mixed[c.layout.averages]
        self.alpha = min(max(self.alpha - c.lr * slope, 0.0), 1.0)
        self.adapts = False
        return c.loss(module(x), y)


def _mixed(layout: Layout, v: torch.Tensor, w: torch.Tensor, alpha: float) -> torch.Tensor:
    """Return alpha v + (1 - alpha) w, with the averaged segment of v."""
    mixed = alpha * v + (1 - alpha) * w
    mixed[layout.averages] = v[layout.averages]
    return mixed
