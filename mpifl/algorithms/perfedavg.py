"""Per-FedAvg: a global model from which one gradient step makes a personal one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm, elementwise
from mpifl.algorithms.arrays import Arrays
from mpifl.algorithms.context import ClientContext, PersonalModel, Program, ServerContext, Upload
from mpifl.algorithms.requests import Differentiated, Gradient, Train, Trained
from mpifl.algorithms.requirements import needs_no_clipping, needs_no_early_stop, needs_plain_sgd
from mpifl.algorithms.vectors import output_with, tensors_in
from mpifl.clock.cost import Cost
from mpifl.job import Job
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch
    from torch import nn


class PerFedAvg(Algorithm):
    """Fallah et al., arXiv 2002.07948, algorithm 1.

    Client, for each planned local step, with minibatches D, D' and D'' drawn anew:
    w~ = w - alpha grad f(w; D), then w = w - beta (I - alpha H(w; D'')) grad f(w~; D'), with
    beta = ``training.lr``, times ``training.lr_decay`` from step to step. The paper's variants: FO
    leaves the Hessian H out; HF takes
    H g = (grad f(w + delta g; D'') - grad f(w - delta g; D'')) / (2 delta).
    Server: the unweighted mean, as in the paper.

    The personal model is w - alpha grad f(w) over all of the client's samples.
    """

    weighs_samples = False

    name: str = "perfedavg"
    variant: Literal["FO", "HF"] = Field("FO", description="what becomes of the Hessian")
    alpha: float = Field(
        0.01, gt=0, description="size of the step that makes a model personal (mpifl's default)"
    )
    delta: float = Field(
        0.001, gt=0, description="with HF: the step of its difference (mpifl's default)"
    )

    def check(self, job: Job) -> None:
        needs_plain_sgd(self, job)
        needs_no_early_stop(self, job)
        if self.variant == "HF":
            needs_no_clipping(self, job, "variant HF")

    def cost(self, layout: Layout) -> Cost:
        return Cost(training=2 if self.variant == "FO" else 4)

    def client(self, c: ClientContext) -> Program:
        model = c.received["model"]
        trained = slice(c.layout.trained)
        w = model
        for step in range(c.steps):
            beta = c.lr * c.training.lr_decay**step  # each Train is a first step of its own
            near: Trained = yield Train(w, steps=1, lr=self.alpha)
            moved: Trained = yield Train(near.weights, steps=1, lr=beta)
            after = w + moved.update
            if self.variant == "HF":
                product = _HessianProduct(c, moved.update / -beta, self.delta)
                second: Trained = yield Train(w, steps=1, lr=1.0, loss=product, cost=2)
                after[trained] -= self.alpha * beta * second.update[trained]
            w = after
        return Upload(update=w - model, averages=w[c.layout.averages])

    def personal(self, c: ClientContext) -> PersonalModel:
        model = c.received["model"]
        at_model: Differentiated = yield Gradient(model)
        return model - self.alpha * at_model.gradient

    @elementwise
    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        return {"model": s.state["model"] + mean["update"]}


@dataclass(frozen=True)
class _HessianProduct:
    """A loss whose gradient at w is the difference quotient of H(w) g, with ``g`` (size,)."""

    c: ClientContext
    g: torch.Tensor
    delta: float

    def __call__(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        ahead = self._loss(module, x, y, self.delta)
        behind = self._loss(module, x, y, -self.delta)
        return (ahead - behind) / (2 * self.delta)

    def _loss(
        self, module: nn.Module, x: torch.Tensor, y: torch.Tensor, step: float
    ) -> torch.Tensor:
        """Return the loss of w + step g on a batch."""
        g = tensors_in(module, self.c.layout, self.g)
        moved = {name: p + step * g[name] for name, p in module.named_parameters() if name in g}
        return self.c.loss(output_with(module, moved, x), y)
