"""FedALA: each client learns how much of the global model it takes, entry by entry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from mpifl.algorithms.arrays import MODEL, Array
from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.part import Part, part_of
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.requirements import needs_bare_steps
from mpifl.clock.cost import Cost
from mpifl.job import Job
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch


class FedAla(FedAvg):
    """Zhang et al., arXiv 2212.01197, algorithm 1.

    A client that took part before starts its training from theta^: the global model theta in the
    lower layers, and in the last ``layers`` ones theta_i + (theta - theta_i) W, entry by entry,
    with its own model theta_i. Before that it learns W on a share of its minibatches:
    W = W - eta grad f(theta^) (theta - theta_i), held between 0 and 1. W begins at 1 and stays with
    the client. Then everything is as in FedAvg. The personal model is theta_i.

    The share is of the planned local steps: with one epoch, a random share of the samples as in the
    paper. The paper learns W until it converges when a client does so first; here every time is the
    same, so that the clock can charge it.
    """

    name: str = "fedala"
    rand_percent: float = Field(
        80.0,
        gt=0,
        le=100,
        description="local steps in which W is learned, in percent of the planned (paper: s, 80)",
    )
    layers: int = Field(
        1, ge=1, description="how many of the last layers are aggregated so (the paper's p, 1)"
    )
    eta: float = Field(1.0, gt=0, description="learning rate of W (the paper's 1)")

    def check(self, job: Job) -> None:
        needs_bare_steps(self, job)

    def kept_arrays(self, layout: Layout) -> dict[str, Array]:
        return {"model": MODEL, "w": Array((len(_top(layout, self.layers).indices),))}

    def cost(self, layout: Layout) -> Cost:
        # One more step: a share of few steps is rounded up.
        return Cost(training=1 + self.rand_percent / 100, extra_steps=1)

    def client(self, c: ClientContext) -> Program:
        model = c.received["model"]
        top = _top(c.layout, self.layers)
        start = model
        w = top.of(model).fill_(1.0)
        if c.kept:
            mixture = _Mixture(top, model, c.kept["model"], c.kept["w"].clone(), self.eta)
            steps = math.ceil(self.rand_percent / 100 * c.steps)
            yield Train(mixture.model, steps=steps, lr=1.0, adjust=mixture)
            w = mixture.w
            start = mixture.model

        trained: Trained = yield Train(start)
        return Upload(
            update=trained.weights - model,
            averages=trained.weights[c.layout.averages],
            keep={"model": trained.weights, "w": w},
        )

    def personal(self, c: ClientContext) -> torch.Tensor:
        return c.kept.get("model", c.received["model"])


@dataclass(frozen=True)
class _Mixture:
    """theta^, and a change of gradients that makes a step of SGD with rate 1 a step of its W.

    Attributes:
        top: The entries that are aggregated with W.
        received: The global model theta, (size,).
        own: The client's model theta_i, (size,).
        w: W, one number for each entry of ``top``; changed in place.
        eta: The learning rate of W.
    """

    top: Part
    received: torch.Tensor
    own: torch.Tensor
    w: torch.Tensor
    eta: float

    @property
    def _apart(self) -> torch.Tensor:
        """Theta - theta_i in the entries of ``top``."""
        return self.top.of(self.received) - self.top.of(self.own)

    @property
    def model(self) -> torch.Tensor:
        """theta^, (size,)."""
        return self.top.put(self.received, self.top.of(self.own) + self._apart * self.w)

    def __call__(self, gradient: torch.Tensor, weights: torch.Tensor) -> None:
        """Move W by the gradient at theta^, and make it the way from the new theta^ to the old."""
        self.w.sub_(self.eta * self.top.of(gradient) * self._apart).clamp_(0, 1)
        gradient.copy_(weights - self.model[: len(weights)])


def _top(layout: Layout, layers: int) -> Part:
    """Return the parameters of the last layers."""
    names = layout.parameters
    owners = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    last = set(owners[-layers:])
    return part_of(layout, [name for name in names if name.rpartition(".")[0] in last])
