"""pFedMe: personal models held near the global one by a Moreau envelope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm, elementwise
from mpifl.algorithms.arrays import MODEL, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.vectors import gradient_at, tensors_in, vector_of
from mpifl.clock.cost import Cost
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch
    from torch import nn


class PFedMe(Algorithm):
    """T Dinh et al., arXiv 2006.08848, algorithm 1.

    Client, R planned local steps, each with a fresh minibatch D: theta approximates
    argmin f(theta; D) + lam/2 |theta - w|^2 by K gradient steps with ``personal_lr``; then
    w = w - eta lam (w - theta), with eta = ``training.lr``. theta begins a round at w and goes on
    from step to step, as in the authors' code. The personal model is the last theta.
    Server: w = (1 - beta) w + beta mean(w_i), unweighted as in the paper.

    The job's optimizer makes the steps of w; its gradient is lam (w - theta).
    """

    kept = {"personal": MODEL}
    weighs_samples = False

    name: str = "pfedme"
    lam: float = Field(
        15.0,
        gt=0,
        description="pull of the personal model towards the global one (lambda; 15 in the paper's"
        " experiments); training.lr times it should be below 1",
    )
    inner_steps: int = Field(
        5, ge=1, le=1000, description="steps of theta on each minibatch (K; the paper's 5)"
    )
    personal_lr: float = Field(
        0.09, gt=0, description="learning rate of theta (default of the authors' code)"
    )
    beta: float = Field(
        1.0, gt=0, description="factor on the mean update; 1 (the authors' code) is averaging"
    )

    def cost(self, layout: Layout) -> Cost:
        return Cost(training=self.inner_steps)

    def client(self, c: ClientContext) -> Program:
        model = c.received["model"]
        envelope = _Envelope(self, c, model.clone())
        trained: Trained = yield Train(model, loss=envelope, cost=self.inner_steps)
        return Upload(
            update=trained.update,
            averages=envelope.theta[c.layout.averages],
            keep={"personal": envelope.theta},
        )

    def personal(self, c: ClientContext) -> torch.Tensor:
        return c.kept.get("personal", c.received["model"])

    @elementwise
    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        return {"model": s.state["model"] + self.beta * mean["update"]}


@dataclass
class _Envelope:
    """A loss whose gradient is that of the Moreau envelope: lam (w - theta).

    Its value is f(theta). Each call moves ``theta`` (size,), in place.
    """

    takes_mixtures: ClassVar[bool] = True

    options: PFedMe
    c: ClientContext
    theta: torch.Tensor

    def __call__(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        import torch

        c = self.c
        lam = self.options.lam
        trained = slice(c.layout.trained)
        w = vector_of(module, c.layout, self.theta)
        for _ in range(self.options.inner_steps):
            gradient, value = gradient_at(module, c.layout, self.theta, c.loss, x, y)
            pulled = gradient + lam * (self.theta - w)
            self.theta[trained] -= self.options.personal_lr * pulled[trained]

        near = tensors_in(module, c.layout, self.theta)
        away = [p - near[name] for name, p in module.named_parameters() if name in near]
        penalty = lam / 2 * torch.stack([tensor.square().sum() for tensor in away]).sum()
        return penalty + (value - penalty.detach())
