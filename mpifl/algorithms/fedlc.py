"""FedLC: logits calibrated by how many samples of each class a client has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field

from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.requirements import needs_classes, needs_no_smoothing
from mpifl.job import Job
from mpifl.population.population import Population

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mpifl.training.participant import Loss


class FedLC(FedAvg):
    """Zhang et al., arXiv 2209.00189: FedAvg with their calibrated cross-entropy.

    Of a client with n_y samples of class y, logit f_y is replaced by f_y - tau n_y^(-1/4). A class
    that it does not have is left out of the softmax: its margin is infinite.
    """

    reads_outputs = True

    name: str = "fedlc"
    tau: float = Field(1.0, ge=0, description="factor on the margins n^(-1/4); 0 is FedAvg")

    @property
    def reads_classes(self) -> bool:
        return self.tau > 0

    def check(self, job: Job) -> None:
        if self.tau:
            needs_no_smoothing(self, job)

    def settled(self, population: Population) -> Self:
        if self.tau:
            needs_classes(self, population)
        return self

    def client(self, c: ClientContext) -> Program:
        loss = _calibrated(c, self.tau) if self.tau else None
        trained: Trained = yield Train(c.received["model"], loss=loss)
        return Upload(update=trained.take_update())


def _calibrated(c: ClientContext, tau: float) -> Loss:
    """Return the cross-entropy of the calibrated logits."""
    import torch

    counts = torch.from_numpy(c.count_labels()).to(c.received["model"])
    margins = tau * counts.pow(-0.25)

    def loss(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return c.loss(module(x) - margins, y)

    return loss
